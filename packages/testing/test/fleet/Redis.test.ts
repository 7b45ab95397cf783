import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { missing, started } from "../support/redis.ts"
import { accidents, day, onFleet } from "./scenarios.ts"

const store = Effect.map(started(), ({ url }) => ({ _tag: "redis", url }) as const)

describe.skipIf(missing !== undefined && process.env["CI"] === undefined)(
  `64 processes on one Redis${missing === undefined ? "" : `, skipped: ${missing}`}`,
  { timeout: 300_000 },
  () => {
    it.live("renew one session once an hour", () => onFleet(Number(process.env["FLEET"] ?? 64), store, day))

    it.live("lose nothing when who renews it dies or sleeps", () =>
      onFleet(Number(process.env["FLEET"] ?? 64), store, accidents))
  }
)
