import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { missing, started } from "../support/redis.ts"
import * as wires from "../support/wire.ts"
import { accidents, cut, day, onFleet, sizes } from "./scenarios.ts"

const store = Effect.map(started(), ({ url }) => ({ _tag: "redis", url }) as const)

describe.skipIf(missing !== undefined && process.env["CI"] === undefined)(
  `${sizes.redis} processes on one Redis${missing === undefined ? "" : `, skipped: ${missing}`}`,
  { timeout: 300_000 },
  () => {
    it.live("renew one session once an hour, and lose nothing when who renews it dies or sleeps", () =>
      onFleet(sizes.redis, store, (fleet) => Effect.andThen(day(fleet), accidents(fleet))))

    it.live("serve what they have while they can't reach it for five seconds, and renew once when they can", () =>
      Effect.gen(function*() {
        const wire = yield* wires.to((yield* started()).port)
        const url = `redis://127.0.0.1:${wire.port}`
        yield* onFleet(sizes.redis, Effect.succeed({ _tag: "redis", url }), (fleet) => cut(fleet, wire))
      }).pipe(Effect.scoped))
  }
)
