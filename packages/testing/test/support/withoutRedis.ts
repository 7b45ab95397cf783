import { beforeAll, beforeEach } from "vitest"
import { noneAtAll } from "./redis.ts"

beforeAll(() => {
  if (process.env["CI"] !== undefined) throw new Error(noneAtAll)
})
beforeEach(({ skip }) => skip(noneAtAll))
