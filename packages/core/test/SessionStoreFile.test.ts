import { type AuthError, SessionEncryption, SessionStoreFile } from "@effect-tenovos/core"
import { SessionStoreLaws } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import { assertEquals } from "@effect/vitest/utils"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as FileSystem from "effect/FileSystem"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { behind, type Call, real, refusal } from "./support/files.ts"
import { session } from "./support/sessions.ts"

const emptyFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "tenovos-file-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

type Files = Layer.Layer<FileSystem.FileSystem | Path.Path>

const silent = Effect.provide(Logger.layer([]))

const open = (folder: string, files: Files = real, options?: Partial<SessionStoreFile.Options>) =>
  SessionStoreFile.make({ folder, leaseLife: "50 millis", ...options }).pipe(Effect.provide(files), silent)

const filesIn = (folder: string) => readdirSync(folder).toSorted()

const textsIn = (folder: string) => filesIn(folder).map((file) => readFileSync(join(folder, file), "utf8")).join()

const causeOf = ({ cause, reason }: AuthError.AuthError) => {
  assert.strictEqual(reason._tag, "StoreFailure")
  return cause instanceof Error ? cause.message : ""
}

describe("a folder", () => {
  for (const law of SessionStoreLaws.laws) {
    it.live(
      law.name,
      () => Effect.flatMap(emptyFolder, (folder) => law.check({ open: open(folder, real, { leaseLife: "1 minute" }) }))
    )
  }
  for (const law of SessionStoreLaws.leaseLaws) {
    it.live(law.name, () =>
      Effect.flatMap(
        emptyFolder,
        (folder) => law.check({ open: open(folder, real, { leaseLife: "2 seconds" }), leaseLife: "2 seconds" })
      ))
  }

  it.live("has one file, which only its user can read, however often it is written", () =>
    Effect.gen(function*() {
      const folder = join(yield* emptyFolder, "of", "its", "own")
      const store = yield* open(folder)
      for (let generation = 0; generation < 3; generation++) {
        yield* store.commit(session(generation + 1), generation)
        yield* Effect.scoped(store.lease)
        assert.lengthOf(filesIn(folder), 1)
        assert.strictEqual(statSync(folder).mode & 0o777, 0o700)
        assert.strictEqual(statSync(join(folder, filesIn(folder)[0]!)).mode & 0o777, 0o600)
      }
      assert.include(textsIn(folder), "access-3")
      assert.notInclude(textsIn(folder), "access-2")

      yield* store.clear(3)
      assert.lengthOf(filesIn(folder), 1)
      assert.notInclude(textsIn(folder), "access")
    }))

  it.live("keeps sessions of different names apart", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const names = ["a", "a.session", "a.session.000001", "../a", "ž/\u0000*"]
      const stores = yield* Effect.forEach(names, (name) => open(folder, real, { name }))
      yield* Effect.forEach(stores, (store, i) => store.commit(session(i + 1), 0))

      for (const [i, store] of stores.entries()) {
        assertEquals((yield* store.read).session, Option.some(session(i + 1)))
      }
      assert.lengthOf(filesIn(folder), names.length)
    }))

  it.live("says once that it keeps plain text, and that others could read it, which they can't after that", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const messages: Array<unknown> = []
      const told = Effect.provide(Logger.layer([Logger.make(({ logLevel, message }) => {
        messages.push([logLevel, String(message)])
      })]))
      const store = yield* told(Effect.provide(SessionStoreFile.make({ folder }), real))
      yield* told(store.commit(session(1), 0))
      const file = join(folder, "tenovos.session.000001")
      assert.deepStrictEqual(messages, [
        ["Warn", `There is no key to encrypt the session with: it is kept in plain text in ${folder}/tenovos.session.*`]
      ])

      for (
        const [path, loose, right] of [[file, 0o644, 0o600], [folder, 0o755, 0o700], [file, 0o602, 0o600]] as const
      ) {
        chmodSync(path, loose)
        yield* told(store.read)
        assert.strictEqual(statSync(path).mode & 0o777, right)
      }
      assert.deepStrictEqual(messages.slice(1), [
        ["Warn", `${file} was open to others, with mode 644: it has 600 again`]
      ])
      chmodSync(folder, 0o777)
      yield* told(store.commit(session(2), 1))
      assert.strictEqual(statSync(folder).mode & 0o777, 0o700)
    }))

  it.live("says nothing of plain text where there is a key, and has none", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const messages: Array<unknown> = []
      const store = yield* SessionStoreFile.make({ folder }).pipe(
        Effect.provide([
          real,
          SessionEncryption.layer(Effect.succeed([Redacted.make(Base64.encode(new Uint8Array(32)))])),
          Logger.layer([Logger.make(({ message }) => void messages.push(message))])
        ])
      )
      yield* store.commit(session(1), 0)

      assertEquals((yield* store.read).session, Option.some(session(1)))
      assert.isEmpty(messages)
      assert.notInclude(textsIn(folder), "access-1")
    }))

  it.live("writes to the disk before it links, and links before it removes", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const calls: Array<string> = []
      const store = yield* open(folder, behind((call) => Effect.sync(() => calls.push(`${call.method} ${call.file}`))))
      yield* store.commit(session(1), 0)
      calls.length = 0
      yield* store.commit(session(2), 1)
      const changes = calls
        .map((call) => call.replace(/(temporary\.\d+)\..*/, "$1").replace(/ tenovos-file-.*/, " folder"))
        .filter((call) => !/^(lstat|stat|readDirectory|readFileString)/.test(call))

      assert.deepStrictEqual(changes, [
        "open tenovos.temporary.000002",
        "writeAll tenovos.temporary.000002",
        "sync tenovos.temporary.000002",
        "link tenovos.temporary.000002",
        "open folder",
        "sync folder",
        "remove tenovos.session.000001",
        "remove tenovos.temporary.000002"
      ])
    }))
})

describe("a damaged file", () => {
  /** Damage is looked for, and not whether what is set aside is on the disk. */
  const unsynced = behind((call) => call.method === "sync" ? Effect.void : Effect.void)

  it.live("is noticed whichever byte is another, and set aside", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const store = yield* open(folder, unsynced)
      yield* store.commit(session(1), 0)
      const file = join(folder, "tenovos.session.000001")
      const bytes = readFileSync(file)
      const end = bytes.toString("latin1").trimEnd().length
      for (let i = 0; i < bytes.length; i += i < end ? 1 : 211) {
        const changed = Buffer.from(bytes)
        changed[i]! ^= i % 2 === 0 ? 1 : 128
        writeFileSync(file, changed)
        const read = yield* Effect.exit(store.read)
        // A change of the record's version makes it that of somebody who knows it.
        if (Exit.isSuccess(read)) {
          assert.isTrue(Option.isNone(read.value.session), `byte ${i}`)
          assert.isDefined(read.value.unreadable, `byte ${i}`)
          assert.strictEqual(read.value.generation, 1)
        }
      }
      assert.deepStrictEqual(filesIn(folder), ["tenovos.session.000001", "tenovos.unreadable.000001"])
      assert.strictEqual(statSync(join(folder, "tenovos.unreadable.000001")).mode & 0o777, 0o600)
    }), 60_000)

  it.live("is noticed wherever it is cut off", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const store = yield* open(folder, unsynced)
      yield* store.commit(session(1), 0)
      const file = join(folder, "tenovos.session.000001")
      const text = readFileSync(file, "utf8").trimEnd()
      for (let length = 0; length < text.length; length += 7) {
        writeFileSync(file, text.slice(0, length))
        assert.isDefined((yield* store.read).unreadable, `${length}`)
      }
    }))

  it.live("is followed by what is committed next, and by leases with higher fences", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const store = yield* open(folder)
      const before = Option.getOrThrow(yield* Effect.scoped(store.lease))
      yield* store.commit(session(1), 0)
      for (let i = 0; i < 3; i++) {
        const [file = ""] = filesIn(folder)
        writeFileSync(
          join(folder, file),
          readFileSync(join(folder, file), "utf8").replace("\"fence\":1", "\"fence\":0")
        )
      }
      const { generation } = yield* store.read
      const after = Option.getOrThrow(yield* Effect.scoped(store.lease))

      assert.isAbove(after.fence, before.fence)
      assert.isDefined((yield* store.read).unreadable)
      assert.isTrue(yield* store.commit(session(generation + 1), generation, after))
      assertEquals((yield* store.read).session, Option.some(session(generation + 1)))
      assert.lengthOf(filesIn(folder).filter((file) => file.includes("unreadable")), 1)
    }))

  it.live("is left alone where a later version wrote it", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const store = yield* open(folder)
      yield* store.commit(session(1), 0)
      const file = join(folder, "tenovos.session.000001")
      const later = readFileSync(file, "utf8").split("\n")[1]!.replace("\"version\":1", "\"version\":2")
      const digest = yield* Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(later)))
      writeFileSync(file, `tenovos-store ${Buffer.from(digest).toString("base64url")}\n${later}\n`)

      assert.include(causeOf(yield* Effect.flip(store.read)), "later version")
      assert.include(causeOf(yield* Effect.flip(store.clear(1))), "later version")
      assert.deepStrictEqual(filesIn(folder), ["tenovos.session.000001"])
    }))
})

describe("a process that is killed", () => {
  const old = session(1)

  /** Each of them, from a store that holds a session and one that is empty. */
  const operations: ReadonlyArray<
    readonly [name: string, (store: Store) => Effect.Effect<unknown, AuthError.AuthError, Scope.Scope>]
  > = [
    ["commits", (store) => Effect.flatMap(store.read, ({ generation }) => store.commit(session(2), generation))],
    ["clears", (store) => Effect.flatMap(store.read, ({ generation }) => store.clear(generation))],
    [
      "takes the lease, commits and gives it back",
      (store) =>
        Effect.scoped(
          Effect.flatMap(store.lease, (lease) =>
            Effect.flatMap(store.read, ({ generation }) =>
              store.commit(session(2), generation, Option.getOrThrow(lease))))
        )
    ]
  ]
  type Store = Effect.Success<ReturnType<typeof open>>

  for (const [name, operate] of operations) {
    for (const isEmpty of [true, false]) {
      it.live(
        `between any two calls as it ${name}, ${isEmpty ? "first" : "later"}, leaves the old or the new`,
        () =>
          Effect.gen(function*() {
            for (let last = 0, isDone = false; !isDone; last++) {
              const folder = yield* emptyFolder
              if (!isEmpty) yield* (yield* open(folder)).commit(old, 0)
              isDone = yield* runUntil(folder, last, operate)
              const store = yield* open(folder)
              const { generation, session: found } = yield* store.read

              const isOld = isEmpty ? generation === 0 && Option.isNone(found) : generation === 1
              const isNew = name === "clears" ? Option.isNone(found) : Option.exists(found, (it) => it.generation === 2)
              assert.isTrue(isOld || isNew, `${generation} after ${last} calls`)
              if (isDone) assert.isTrue(isNew, "the operation was not done")
              yield* expectUsable(store, folder)
            }
          }),
        60_000
      )
    }
  }

  /** Does it with a file system that stops for good after so many calls. Tells whether it needed no more. */
  const runUntil = Effect.fnUntraced(function*(
    folder: string,
    last: number,
    operate: (store: Store) => Effect.Effect<unknown, AuthError.AuthError, Scope.Scope>
  ) {
    const stopped = Deferred.makeUnsafe<boolean>()
    let calls = 0
    const files = behind(({ half = Effect.void }) =>
      Effect.suspend(() => {
        if (calls < last) return Effect.sync(() => void calls++)
        if (calls++ > last) return Effect.never
        return Effect.andThen(half, Effect.andThen(Deferred.succeed(stopped, false), Effect.never))
      })
    )
    // Nothing of it may go on, not even its end.
    yield* Effect.forkDetach(
      open(folder, files).pipe(
        Effect.flatMap(operate),
        Effect.andThen(Deferred.succeed(stopped, true)),
        Effect.provideService(Scope.Scope, yield* Scope.make())
      )
    )
    return yield* Deferred.await(stopped)
  })

  /** Others find the store as usable as it was, and a sign-out leaves nothing in it. */
  const expectUsable = Effect.fnUntraced(function*(store: Store, folder: string) {
    yield* Effect.scoped(Effect.gen(function*() {
      const changed = yield* store.listen
      let lease = yield* store.lease
      while (Option.isNone(lease)) {
        yield* changed
        lease = yield* store.lease
      }
      const { generation } = yield* store.read
      assert.isTrue(yield* store.commit(session(generation + 1), generation, lease.value))
      assertEquals((yield* store.read).session, Option.some(session(generation + 1)))
    }))
    assert.isTrue(yield* store.clear((yield* store.read).generation))
    assert.lengthOf(filesIn(folder), 1)
    assert.notInclude(textsIn(folder), "access")
  })
})

describe("a process that is paused", () => {
  /** A store that waits before this call of its next write, until it is let go. */
  const openPausing = Effect.fnUntraced(function*(folder: string, isIt: (call: Call) => boolean) {
    const reached = Deferred.makeUnsafe<void>()
    const goOn = Deferred.makeUnsafe<void>()
    let isArmed = false
    const store = yield* open(
      folder,
      behind((call) => {
        if (!isArmed || !isIt(call)) return Effect.void
        isArmed = false
        return Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(goOn))
      })
    )
    return {
      store,
      pause: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.gen(function*() {
          isArmed = true
          const fiber = yield* Effect.forkScoped(effect)
          yield* Deferred.await(reached)
          return { resume: Effect.andThen(Deferred.succeed(goOn, undefined), Fiber.join(fiber)) }
        })
    }
  })
  const beforeLink = (call: Call) => call.method === "link"
  const afterLink = (call: Call) => call.method === "open" && call.file.startsWith("tenovos-file-")

  const beforeOpen = (call: Call) => call.method === "open" && call.file.includes("temporary")

  for (const [before, isIt] of [["writing", beforeOpen], ["linking", beforeLink]] as const) {
    for (const others of [1, 2, 3, 20]) {
      it.live(`between looking and ${before} overwrites nothing, when others have written ${others} times`, () =>
        Effect.gen(function*() {
          const folder = yield* emptyFolder
          const other = yield* open(folder)
          const { pause, store } = yield* openPausing(folder, isIt)
          yield* other.commit(session(1), 0)
          const paused = yield* pause(store.commit(session(99), 1))
          for (let i = 1; i <= others; i++) yield* other.commit(session(i + 1), i)

          assert.isFalse(yield* paused.resume)
          assertEquals((yield* other.read).session, Option.some(session(others + 1)))
          assert.lengthOf(filesIn(folder), 1)
          assert.notInclude(textsIn(folder), "access-99")
        }))
    }
  }

  it.live("is not seen by who reads while it has linked what comes too late", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const other = yield* open(folder)
      yield* other.commit(session(1), 0)
      const late = yield* openPausing(folder, beforeLink)
      const paused = yield* late.pause(late.store.commit(session(99), 1))
      yield* other.commit(session(2), 1)
      yield* other.commit(session(3), 2)
      const [file = ""] = filesIn(folder)
      // As it is after the link.
      linkSync(join(folder, file), join(folder, "tenovos.session.000002"))

      assertEquals((yield* other.read).session, Option.some(session(3)))
      yield* other.commit(session(4), 3)
      assert.deepStrictEqual(filesIn(folder), ["tenovos.session.000004"])
      assert.isFalse(yield* paused.resume)
    }))

  for (const [others, isKnown] of [[0, true], [1, true], [15, true], [16, false]] as const) {
    it.live(`after linking ${isKnown ? "knows" : "no longer knows"} what it wrote, when ${others} others followed`, () =>
      Effect.gen(function*() {
        const folder = yield* emptyFolder
        const other = yield* open(folder)
        const { pause, store } = yield* openPausing(folder, afterLink)
        yield* other.commit(session(1), 0)
        const paused = yield* pause(store.commit(session(2), 1))
        for (let i = 2; i < others + 2; i++) assert.isTrue(yield* other.commit(session(i + 1), i))

        assert.strictEqual(yield* paused.resume, isKnown)
        assertEquals((yield* other.read).session, Option.some(session(others + 2)))
      }))
  }

  it.live("while it commits under a lease that another takes meanwhile does not commit", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const other = yield* open(folder)
      const { pause, store } = yield* openPausing(folder, beforeLink)
      const mine = Option.getOrThrow(yield* Effect.scoped(store.lease))
      const paused = yield* pause(store.commit(session(1), 0, mine))
      const next = Option.getOrThrow(yield* other.lease)

      assert.isFalse(yield* paused.resume)
      assert.isTrue(yield* other.commit(session(1), 0, next))
    }))

  it.live("while it commits does so all the same when only the lease was extended meanwhile", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const { pause, store } = yield* openPausing(folder, beforeLink)
      const other = yield* open(folder, real, { leaseLife: "30 millis" })
      yield* other.lease
      const paused = yield* pause(store.commit(session(1), 0))
      const [before = ""] = filesIn(folder)
      while (filesIn(folder).includes(before)) yield* Effect.sleep("10 millis")

      assert.isTrue(yield* paused.resume)
    }))

  it.live("while it takes the lease does not have it together with another", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const other = yield* open(folder)
      const { pause, store } = yield* openPausing(folder, beforeLink)
      const paused = yield* pause(store.lease)
      const next = Option.getOrThrow(yield* other.lease)

      assert.isTrue(Option.isNone(yield* paused.resume))
      assert.isTrue(yield* other.commit(session(1), 0, next))
    }))
})

describe("a lease", () => {
  /** Takes the lease as a process does that is killed after it, and whose clock is so much ahead. */
  const takeAndDie = (folder: string, ahead: number) =>
    Clock.clockWith((clock) =>
      open(folder).pipe(
        Effect.flatMap((store) => store.lease),
        Effect.provideService(
          Clock.Clock,
          Object.create(clock, {
            currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + ahead },
            sleep: { value: () => Effect.never }
          })
        )
      )
    )

  it.live("of a holder that died a while ago is given at once", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      yield* takeAndDie(folder, -101)

      assert.isTrue(Option.isSome(yield* (yield* open(folder)).lease))
    }))

  for (const ahead of [0, 3_600_000]) {
    it.live(`of a holder that died just now, with a clock ${ahead} ms ahead, is given to who has waited its life`, () =>
      Effect.gen(function*() {
        const folder = yield* emptyFolder
        yield* takeAndDie(folder, ahead)
        const store = yield* open(folder)
        const changed = yield* store.listen
        const since = Date.now()
        while (Option.isNone(yield* Effect.scoped(store.lease))) yield* changed

        assert.isAtLeast(Date.now() - since, 45)
      }))
  }

  it.live("names its holder in the file", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      yield* (yield* open(folder, real, { owner: "host, process 7" })).lease

      assert.include(textsIn(folder), "\"owner\":\"host, process 7\"")
    }))
})

describe("a folder that can't be used", () => {
  const failing = (isIt: (call: Call) => boolean, error: (call: Call) => ReturnType<typeof refusal>) =>
    behind((call) => isIt(call) ? Effect.fail(error(call)) : Effect.void)

  it.live("fails with what is wrong and where", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      writeFileSync(join(folder, "file"), "")
      symlinkSync(folder, join(folder, "link"))
      mkdirSync(join(folder, "shared"))
      chmodSync(join(folder, "shared"), 0o1777)
      const cases = [
        [join(folder, "link"), real, `${folder}/link is a symbolic link`],
        [join(folder, "file"), real, `${folder}/file is not a folder`],
        [join(folder, "file", "folder"), real, `${folder}/file`],
        [join(folder, "shared"), real, `${folder}/shared is shared by all users`],
        [
          folder,
          failing(({ method }) => method === "link", (call) => refusal(call, "PermissionDenied", "EPERM")),
          `No file can be linked in ${folder}`
        ],
        [
          folder,
          failing(
            ({ file, method }) => method === "open" && file.includes("temporary"),
            (call) => refusal(call, "PermissionDenied", "EACCES")
          ),
          "PermissionDenied: FileSystem.open (tenovos.temporary.000001"
        ]
      ] as const
      for (const [place, files, expected] of cases) {
        const error = yield* Effect.flip(Effect.flatMap(open(place, files), (store) => Effect.scoped(store.lease)))

        assert.strictEqual(error.reason._tag === "StoreFailure" && error.reason.operation, "lease")
        assert.include(causeOf(error), expected)
      }
      assert.deepStrictEqual(filesIn(folder), ["file", "link", "shared"])
      assert.strictEqual(statSync(join(folder, "shared")).mode & 0o7777, 0o1777)
    }))

  it.live.skipIf(process.getuid?.() === 0)("can't be written by who is not allowed to", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      chmodSync(folder, 0o500)

      assert.include(causeOf(yield* Effect.flip((yield* open(folder)).clear(0))), folder)
    }))

  it.live("is not made again when it vanishes", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      const store = yield* open(folder)
      yield* store.commit(session(1), 0)
      rmSync(folder, { recursive: true })

      assert.strictEqual(causeOf(yield* Effect.flip(store.read)), `The folder ${folder} is gone`)
      assert.strictEqual(causeOf(yield* Effect.flip(store.commit(session(2), 1))), `The folder ${folder} is gone`)
    }))

  it.live("gives no lease where there is no room for a session, and keeps the old one", () =>
    Effect.gen(function*() {
      const folder = yield* emptyFolder
      yield* (yield* open(folder)).commit(session(1), 0)
      const full = yield* open(
        folder,
        failing(({ method }) => method === "writeAll", (call) => refusal(call, "Unknown", "ENOSPC: no space left"))
      )

      const error = yield* Effect.flip(Effect.scoped(full.lease))
      assert.include(Cause.pretty(Cause.fail(error.cause)), "ENOSPC")
      assertEquals((yield* full.read).session, Option.some(session(1)))
      assert.deepStrictEqual(filesIn(folder), ["tenovos.session.000001"])
      assert.isAtLeast(statSync(join(folder, "tenovos.session.000001")).size, 16_384)
    }))
})

describe("processes", () => {
  it.live(
    "that write one file at a time lose nothing, and never think that they wrote what they did not",
    () =>
      Effect.gen(function*() {
        const folder = yield* emptyFolder
        const program = fileURLToPath(new URL("./support/fileStoreProcess.ts", import.meta.url))
        const outputs = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, i) => i),
          (i) =>
            Effect.promise(async () => {
              const child = spawn(process.execPath, [program, folder, String(i), "100"], {
                stdio: ["ignore", "pipe", "inherit"]
              })
              let output = ""
              child.stdout.on("data", (chunk) => output += chunk)
              const [code] = await once(child, "close")
              assert.strictEqual(code, 0)
              const done: { readonly committed: Array<number>; readonly leased: Array<number> } = JSON.parse(output)
              return done
            }),
          { concurrency: "unbounded" }
        )
        const { generation } = yield* (yield* open(folder)).read
        const committed = outputs.flatMap((output) => output.committed).toSorted((one, other) => one - other)
        const fences = outputs.flatMap((output) => output.leased)

        assert.deepStrictEqual(committed, Array.from({ length: generation }, (_, i) => i + 1))
        assert.strictEqual(new Set(fences).size, fences.length)
        assert.isAtLeast(generation, 100)
        assert.isAbove(fences.length, 0)
        assert.lengthOf(filesIn(folder), 1)
      }),
    60_000
  )
})
