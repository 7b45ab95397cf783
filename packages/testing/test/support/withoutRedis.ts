import { beforeAll, beforeEach } from "vitest"
import { missing } from "./redis.ts"

beforeAll(() => {
  if (process.env["CI"] !== undefined) throw new Error(missing)
})
beforeEach(({ skip }) => skip(missing))
