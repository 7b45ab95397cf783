/**
 * Property tests of a program of one's own. Whatever fails on the way, and wherever it is ended, the export of
 * `asset-export.ts` brings every asset once, and shows no secret.
 *
 * A test is a function from a random story to what must hold. When it does not, fast-check makes the story smaller until
 * nothing can be left out of it, and prints it.
 */
import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { Arbitraries, Laws, TestTenovos } from "@effect-tenovos/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FileSystem, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { exportAssets } from "../asset-export.ts"
import * as wire from "./support/wire.ts"

/** What one run of the export meets: requests that fail, and at which of them all sessions end, or the run itself. */
interface Run {
  readonly failures: ReadonlyArray<{ readonly failure: TestTenovos.Failure; readonly next: number }>
  readonly revokedAt: number | undefined
  readonly endedAt: number | undefined
}

const undisturbed: Run = { failures: [], revokedAt: undefined, endedAt: undefined }

const request = fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined })

const run: fc.Arbitrary<Run> = fc.record({
  failures: fc.array(fc.record({ failure: Arbitraries.failure, next: fc.integer({ min: 1, max: 12 }) }), {
    maxLength: 3
  }),
  revokedAt: request,
  endedAt: request
})

/** As in a process of its own: with no session, and ended at this request. */
const inProcess = Effect.fnUntraced(function*(folder: string, { endedAt, revokedAt }: Run) {
  const tenovos = yield* TestTenovos.TestTenovos
  const ended = yield* Deferred.make<"ended">()
  let requests = 0
  const Client = TenovosClient.layer.pipe(
    Layer.provide(TenovosAuth.layer(TestTenovos.credentials)),
    Layer.provide(wire.tap(() =>
      Effect.gen(function*() {
        const number = ++requests
        if (number === revokedAt) yield* tenovos.revoke
        if (number === endedAt) yield* Deferred.succeed(ended, "ended")
      })
    ))
  )
  return yield* exportAssets(folder).pipe(Effect.provide(Client), Effect.raceFirst(Deferred.await(ended)))
})

/** Lets time pass, for pauses between attempts, until this has ended. */
const passTime = Effect.fnUntraced(function*<A, E>(fiber: Fiber.Fiber<A, E>) {
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.adjust("1 second")
    // Files take real time.
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  }
  return yield* Fiber.await(fiber)
})

/** The file names of the assets in each file of the export. */
const filesOf = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const names = (yield* fs.readDirectory(folder)).filter((name) => name.endsWith(".jsonl")).sort()
  return yield* Effect.forEach(names, (name) =>
    Effect.map(
      fs.readFileString(`${folder}/${name}`),
      (text) => text.trimEnd().split("\n").map((line): string => JSON.parse(line).filename)
    ))
})

/** Begins the export anew for each of the runs, and once more. What must hold is looked at after each. */
const story = Effect.fnUntraced(function*(runs: ReadonlyArray<Run>) {
  const tenovos = yield* TestTenovos.TestTenovos
  const folder = yield* FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped())
  for (const run of [...runs, undisturbed]) {
    for (const { failure, next } of run.failures) yield* tenovos.fail(failure, { next })
    const exit = yield* passTime(yield* Effect.forkChild(inProcess(folder, run)))
    yield* tenovos.heal

    const assets = (yield* filesOf(folder)).flat()
    assert.strictEqual(new Set(assets).size, assets.length, "no asset is in two files, or half there")
    if (run === undisturbed || Exit.isSuccess(exit) && exit.value !== "ended") {
      assert.deepStrictEqual(exit, Exit.succeed(1234))
      assert.strictEqual(assets.length, 1234)
    }
  }
})

const World = Layer.mergeAll(TestTenovos.layer(), NodeServices.layer).pipe(Layer.provideMerge(TestClock.layer()))

describe("asset-export.ts", () => {
  it("brings every asset once, whatever fails and wherever it is ended", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(run, { maxLength: 3 }),
        (runs) => story(runs).pipe(Effect.scoped, Effect.provide(World), Effect.runPromise)
      ),
      { numRuns: 10 }
    ))

  it.effect("shows no secret, when all goes well and when nothing does", () =>
    Effect.gen(function*() {
      const tenovos = yield* TestTenovos.TestTenovos
      const folder = yield* FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped())
      const exported = inProcess(folder, undisturbed)

      yield* Laws.noSecretLeak(exported)
      yield* tenovos.disable
      yield* Laws.noSecretLeak(Effect.flip(exported))
    }).pipe(Effect.provide(World)))
})
