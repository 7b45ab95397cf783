/**
 * Keeps a session in a file, for what runs on one machine: a command that is started over and over, the workers of a
 * server.
 *
 * The folder is for this alone, and only its user gets at it. Each write is a file of its own under the next number, and
 * comes into being complete and by a hard link: two can't have the same number, so nobody overwrites what they have not
 * read. The highest number counts; those below are removed at once, and what a killed process left is with the next write.
 *
 * Any number of processes may share the folder. It has to be on a file system with hard links; on a network file system the
 * store is as good as that one's listings are fresh.
 *
 * @since 0.1.0
 */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as PlatformError from "effect/PlatformError"
import * as Ledger from "./internal/ledger.ts"
import { PlaceFailure } from "./internal/place.ts"
import * as SessionBackend from "./SessionBackend.ts"
import * as SessionEncryption from "./SessionEncryption.ts"
import { SessionStore } from "./SessionStore.ts"

/**
 * Where the session's files are.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends SessionBackend.Options {
  /** Made where it isn't there, and closed to others where it isn't. */
  readonly folder: string
  /** Of the session among those in the folder. Defaults to `tenovos`. */
  readonly name?: string | undefined
  /** Who holds the lease, for people who look into the file, such as the host and the process id. */
  readonly owner?: string | undefined
}

/**
 * The store in a folder. Warns in the log when there is no key to encrypt with.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<
  SessionStore["Service"],
  never,
  FileSystem.FileSystem | Path.Path
> {
  const { join } = yield* Path.Path
  const name = options.name ?? "tenovos"
  const files = yield* makeFiles(options.folder, encodeURIComponent(name))
  if ((yield* SessionEncryption.Keys).length === 0) {
    yield* Effect.logWarning(
      `There is no key to encrypt the session with: it is kept in plain text in ${
        join(options.folder, encodeURIComponent(name))
      }.session.*`
    )
  }
  return yield* SessionBackend.make(
    Ledger.make({ ...files, owner: options.owner ?? "somebody", place: `file ${name}` }),
    options
  )
})

/**
 * Provides the store in a folder: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<SessionStore, never, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(SessionStore, make(options))

/** A ledger takes up as much at least, so that whoever could write a lease can write a session. */
const room = 16_384

/** A write knows itself again in the file that followed it, and those that followed that one, up to so many. */
const remembered = 16

const makeFiles = Effect.fnUntraced(function*(folder: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const pathOf = (kind: "session" | "temporary" | "unreadable", number: number, ...id: ReadonlyArray<string>) =>
    path.join(folder, [name, kind, String(number).padStart(6, "0"), ...id].join("."))

  let isOpened = false
  let isRepaired = false

  const keepPrivate = Effect.fnUntraced(function*(path: string, mode: number, allowed: number) {
    if ((mode & 0o777 & ~allowed) === 0) return
    yield* fs.chmod(path, allowed)
    if (isRepaired) return
    isRepaired = true
    yield* Effect.logWarning(
      `${path} was open to others, with mode ${(mode & 0o777).toString(8)}: it has ${allowed.toString(8)} again`
    )
  })

  /** One that was there and is gone is not made again: the numbers of leases would start anew. */
  const openFolder = Effect.gen(function*() {
    const info = yield* fs.lstat(folder).pipe(
      Effect.catchIf(
        isReason("NotFound"),
        Effect.fnUntraced(function*(cause) {
          if (isOpened) return yield* new PlaceFailure({ message: `The folder ${folder} is gone`, cause })
          yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
          yield* syncFolder(path.dirname(folder))
          return yield* fs.lstat(folder)
        })
      )
    )
    if (info.type === "SymbolicLink") {
      return yield* new PlaceFailure({ message: `${folder} is a symbolic link: name the folder that it leads to` })
    }
    if (info.type !== "Directory") return yield* new PlaceFailure({ message: `${folder} is not a folder` })
    if ((info.mode & 0o1000) !== 0) {
      return yield* new PlaceFailure({
        message: `${folder} is shared by all users: name a folder for the sessions alone`
      })
    }
    isOpened = true
    yield* keepPrivate(folder, info.mode, 0o700)
  })

  const syncFolder = (folder: string) =>
    Effect.scoped(Effect.flatMap(fs.open(folder), (opened) => opened.sync)).pipe(
      // Not every platform can; those that can do not ask for more rights than to read it.
      Effect.catchIf(isReason("PermissionDenied"), () => Effect.void)
    )

  /** A listing is no snapshot: two that agree on the highest number saw no other come between them. */
  const list: Effect.Effect<ReadonlyArray<string>, PlatformError.PlatformError> = Effect.gen(function*() {
    for (let files = yield* fs.readDirectory(folder);;) {
      const again = yield* fs.readDirectory(folder)
      if (highest(again) === highest(files)) return again
      files = again
    }
  })

  const highest = (files: ReadonlyArray<string>) => Math.max(0, ...files.map((file) => numberOf(file, "session")))

  /** None of these is zero. */
  const numberOf = (file: string, kind: "session" | "temporary"): number => {
    const prefix = `${name}.${kind}.`
    const [number = "", ...id] = file.startsWith(prefix) ? file.slice(prefix.length).split(".") : []
    return /^\d+$/.test(number) && id.length === (kind === "session" ? 0 : 1) ? Number(number) : 0
  }

  /** What counts, and its number. */
  const current: Effect.Effect<{ readonly number: number; readonly ledger: Ledger.Ledger }, unknown> = Effect.gen(
    function*() {
      yield* openFolder
      const number = highest(yield* list)
      if (number === 0) return { number, ledger: Ledger.empty }
      const file = pathOf("session", number)
      yield* keepPrivate(file, (yield* fs.stat(file)).mode, 0o600)
      // No lease has a fence that is higher than the number of its file.
      return {
        number,
        ledger: yield* Ledger.decode(yield* fs.readFileString(file), { generation: number, fence: number })
      }
    }
  ).pipe(
    // It was followed meanwhile.
    Effect.catchIf(isReason("NotFound"), () => current)
  )

  /** A durable file under a path that is free. Tells whether it was. */
  const create = Effect.fnUntraced(
    function*(file: string, text: string, temporary: string) {
      yield* Effect.scoped(Effect.gen(function*() {
        const opened = yield* fs.open(temporary, { flag: "wx", mode: 0o600 })
        yield* opened.writeAll(new TextEncoder().encode(text))
        yield* opened.sync
      }))
      const isFree = yield* fs.link(temporary, file).pipe(
        Effect.as(true),
        // Or the temporary file is, as others have gone on.
        Effect.catchIf(
          (error) => isReason("AlreadyExists")(error) || isReason("NotFound")(error),
          () => Effect.succeed(false)
        ),
        Effect.mapError((cause) =>
          new PlaceFailure({
            message: `No file can be linked in ${folder}: it has to be on a file system with hard links`,
            cause
          })
        )
      )
      if (isFree) yield* syncFolder(folder)
      return isFree
    },
    (effect, _file, _text, temporary) =>
      Effect.tapError(effect, () => Effect.ignore(fs.remove(temporary, { force: true })))
  )

  const update = (f: (ledger: Ledger.Ledger) => Partial<Ledger.Ledger> | undefined): Effect.Effect<boolean, unknown> =>
    Effect.gen(function*() {
      const before = yield* current
      const changed = f(before.ledger)
      if (changed === undefined) return false
      const id = newId()
      const writes = [id, ...before.ledger.writes].slice(0, remembered)
      const text = yield* Ledger.encode({ ...before.ledger, ...changed, writes })
      const number = before.number + 1
      const temporary = pathOf("temporary", number, id)
      const file = pathOf("session", number)
      if (!(yield* create(file, text.padEnd(room), temporary))) {
        yield* fs.remove(temporary, { force: true })
        return yield* update(f)
      }
      // Who was stopped before the link, while others wrote the same number and removed it again, comes too late. What
      // that one has linked is below what counts, and never did.
      const { ledger, number: latest } = yield* current
      yield* Effect.forEach(yield* fs.readDirectory(folder), (file) => {
        const [session, temporary] = [numberOf(file, "session"), numberOf(file, "temporary")]
        return session > 0 && session < latest || temporary > 0 && temporary <= latest
          ? fs.remove(path.join(folder, file), { force: true })
          : Effect.void
      }, { discard: true })
      return ledger.writes.includes(id) || (yield* update(f))
    })

  const setAside = ({ generation, text }: SessionBackend.Row): Effect.Effect<string, unknown> =>
    Effect.gen(function*() {
      const file = pathOf("unreadable", generation)
      const temporary = pathOf("temporary", generation, newId())
      const isNew = yield* create(file, text, temporary)
      yield* fs.remove(temporary, { force: true })
      return isNew || (yield* fs.exists(file)) ? file : yield* setAside({ generation, text })
    })

  return { read: Effect.map(current, ({ ledger }) => ledger), update, setAside }
})

const newId = () => Base64Url.encode(SecureRandom.randomBytesUnsafe(9))

const isReason = (tag: PlatformError.SystemErrorTag) => (error: unknown): error is PlatformError.PlatformError =>
  PlatformError.isPlatformError(error) && error.reason._tag === tag
