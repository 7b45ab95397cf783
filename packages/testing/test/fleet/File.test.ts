import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { accidents, day, onFleet, sizes } from "./scenarios.ts"

const store = Effect.acquireRelease(
  Effect.sync(() => ({ _tag: "file", folder: mkdtempSync(join(tmpdir(), "fleet-store-")) }) as const),
  ({ folder }) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

describe(`${sizes.file} processes on one file`, { timeout: 300_000 }, () => {
  it.live("renew one session once an hour, and lose nothing when who renews it dies or sleeps", () =>
    onFleet(sizes.file, store, (fleet) => Effect.andThen(day(fleet), accidents(fleet))))
})
