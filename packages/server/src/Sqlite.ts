/**
 * A `SqlClient` over `node:sqlite`: one connection, no native addon.
 *
 * Statements run one at a time on the calling thread, and are prepared once. A file is opened in WAL mode, so other
 * processes can read it, and is its owner's alone, since it will hold private keys: a looser one is tightened.
 *
 * A write is answered when it is on the disk. Writes that are ready at once share one wait for the disk.
 *
 * **Details**
 *
 * What `INSERT`, `UPDATE`, `DELETE`, `REPLACE` or `WITH` begins is a write, and a transaction is one as a whole. One that
 * fails leaves the others of its group as they are; only when the group as such fails do they all. Other fibers see
 * nothing of it before.
 *
 * What another process's lock holds up is tried again for about five seconds, and other fibers run meanwhile. An error
 * says what SQLite or the system said.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { chmodSync, closeSync, openSync, statSync } from "node:fs"
import { resolve } from "node:path"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"
import { getSystemErrorMessage } from "node:util"
import * as groupCommit from "./internal/groupCommit.ts"

/**
 * Which file to open, and how.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The path of the file, made when it isn't there; never a URI. `:memory:` keeps everything in this process. */
  readonly filename: string
  /** Opens a file that is there to read it, and leaves it as it is, to the byte. Defaults to false. */
  readonly readOnly?: boolean | undefined
}

/**
 * Opens the database, and closes it with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(
    options: Options
  ): Effect.fn.Return<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope | Reactivity.Reactivity> {
    const filename = options.filename === memory ? memory : resolve(options.filename)
    const isReadOnly = options.readOnly === true
    const database = yield* retryBusy(
      Effect.acquireRelease(open(filename, isReadOnly), (database) => Effect.sync(() => database.close()))
    )
    if (filename !== memory && !isReadOnly) yield* tighten(filename)
    const statements = new Map<string, StatementSync>()

    const prepare = (sql: string): StatementSync => {
      const prepared = statements.get(sql)
      if (prepared !== undefined) return prepared
      const statement = database.prepare(sql)
      // A program has a fixed set of statements; the bound is for one that builds them from data.
      if (statements.size < maxStatements) statements.set(sql, statement)
      return statement
    }

    const execute = (sql: string): void => void prepare(sql).run()

    const attempt = <A>(run: () => A): Effect.Effect<A, SqlError.SqlError> =>
      Effect.try({ try: run, catch: (cause) => toSqlError(cause, "execute") })

    const lock = yield* Semaphore.make(1)

    // A failed commit leaves its transaction open, and the disk may refuse to undo it too, until it has room again.
    const clearUnsafe = () => {
      if (database.isTransaction) execute("ROLLBACK")
    }
    const clear = attempt(clearUnsafe)

    let isInGroup = false

    const { statement: write, transaction } = yield* groupCommit.make({
      attempt,
      execute,
      isOpen: () => database.isTransaction,
      group: (members) =>
        Effect.suspend(() => {
          let hasBegun = false
          const group = Effect.gen(function*() {
            isInGroup = true
            yield* clear
            // Takes the write lock when it begins: taking it later can fail at once, whatever the timeout.
            yield* attempt(() => execute("BEGIN IMMEDIATE"))
            hasBegun = true
            yield* members
            yield* attempt(() => execute("COMMIT"))
          }).pipe(
            Effect.onError(() => Effect.ignore(clear)),
            Effect.ensuring(Effect.sync(() => {
              isInGroup = false
            }))
          )
          // What has begun may have done more than change the database, so it isn't repeated.
          return retryBusy(lock.withPermit(group), () => !hasBegun)
        })
    })

    const read = <A>(run: () => A): Effect.Effect<A, SqlError.SqlError> =>
      Effect.suspend(() => {
        const once = attempt(() => {
          clearUnsafe()
          return run()
        })
        // Around the permit: whoever waits for a lock gives the connection back meanwhile.
        const inTurn = () => retryBusy(lock.withPermit(once))
        // It is done before anybody else can begin, so it needs no permit; and most never meet another process's lock.
        return isInGroup ? inTurn() : Effect.catchIf(once, isBusy, () => Effect.andThen(pause, inTurn()))
      })

    const rowsOf = (sql: string, params: ReadonlyArray<unknown>, isSafe: boolean): ReadonlyArray<Row> => {
      const statement = prepare(sql)
      statement.setReadBigInts(isSafe)
      statement.setReturnArrays(false)
      return statement.all(...params.map(toInput))
    }

    const valuesOf = (
      sql: string,
      params: ReadonlyArray<unknown>,
      isSafe: boolean
    ): ReadonlyArray<ReadonlyArray<unknown>> => {
      const statement = prepare(sql)
      statement.setReadBigInts(isSafe)
      statement.setReturnArrays(true)
      const rows: ReadonlyArray<unknown> = statement.all(...params.map(toInput))
      return rows.filter((row) => Array.isArray(row))
    }

    /** A connection that runs what it is asked for by `run`. */
    const connectionBy = (
      run: <A>(sql: string, execute: () => A) => Effect.Effect<A, SqlError.SqlError>
    ): SqlConnection.Connection => {
      const raw = (sql: string, params: ReadonlyArray<unknown>) =>
        Effect.withFiber<ReadonlyArray<Row>, SqlError.SqlError>((fiber) => {
          const isSafe = fiber.getRef(SqlClient.SafeIntegers)
          return run(sql, () => rowsOf(sql, params, isSafe))
        })
      const values = (sql: string, params: ReadonlyArray<unknown>) =>
        Effect.withFiber<ReadonlyArray<ReadonlyArray<unknown>>, SqlError.SqlError>((fiber) => {
          const isSafe = fiber.getRef(SqlClient.SafeIntegers)
          return run(sql, () => valuesOf(sql, params, isSafe))
        })
      const rows: SqlConnection.Connection["execute"] = (sql, params, transformRows) =>
        transformRows === undefined ? raw(sql, params) : Effect.map(raw(sql, params), transformRows)
      return {
        execute: rows,
        executeUnprepared: rows,
        executeRaw: raw,
        executeValues: values,
        executeValuesUnprepared: values,
        executeStream: (sql, params, transformRows) =>
          Stream.unwrap(Effect.map(rows(sql, params, transformRows), Stream.fromIterable))
      }
    }

    const connection = connectionBy((sql, execute) => isWrite(sql) ? write(execute) : read(execute))
    const inTransaction = connectionBy((_, execute) =>
      attempt(() => {
        // Outside of it the statement would stand alone, and be kept.
        if (!database.isTransaction) throw new Error("The transaction has been rolled back")
        return execute()
      })
    )

    return yield* SqlClient.make({
      acquirer: Effect.succeed(connection),
      borrower: (use) => use(connection),
      transactionAcquirer: Effect.map(transaction, ({ commit, rollback }) => ({
        ...inTransaction,
        // The outermost transaction is a place in a group. The group begins and commits for it.
        executeUnprepared: (sql, params, transformRows) => {
          switch (sql) {
            case "BEGIN":
              return Effect.succeed([])
            case "COMMIT":
              return Effect.as(commit, [])
            case "ROLLBACK":
              return Effect.as(rollback, [])
            default:
              return inTransaction.executeUnprepared(sql, params, transformRows)
          }
        }
      })),
      isTransaction: () => database.isTransaction,
      compiler: Statement.makeCompilerSqlite(),
      driver: "node-sqlite",
      spanAttributes: [["db.system.name", "sqlite"]]
    })
  }
)

/** Whatever else there is reads, or wants no transaction around it. */
const isWrite = (sql: string): boolean => /^\s*(?:insert|update|delete|replace|with)\b/i.test(sql)

const memory = ":memory:"

const isBusy = (error: unknown): boolean => SqlError.isSqlError(error) && error.reason._tag === "LockTimeoutError"

/** Tries again what another process's lock holds up, for about five seconds, whatever clock the fiber has. */
const retryBusy = <A, E, R>(self: Effect.Effect<A, E, R>, isSafe = () => true): Effect.Effect<A, E, R> =>
  Effect.retry(self, {
    while: (error) => isBusy(error) && isSafe() ? pause : Effect.succeed(false),
    times: 70
  })

const pause = Effect.sleep("50 millis").pipe(
  Effect.provideService(Clock.Clock, Clock.Clock.defaultValue()),
  Effect.as(true)
)

type Row = ReturnType<StatementSync["all"]>[number]

const maxStatements = 256

const open = (filename: string, isReadOnly: boolean): Effect.Effect<DatabaseSync, SqlError.SqlError> =>
  Effect.try({
    try: () => {
      if (isReadOnly) return openReadOnly(filename)
      // SQLite gives the journal the permissions of the database.
      if (filename !== memory) closeSync(openSync(filename, "a", 0o600))
      // Waiting for a lock here keeps every fiber waiting: `retryBusy` does the rest.
      const database = new DatabaseSync(filename, { timeout: 20, enableForeignKeyConstraints: true })
      try {
        database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
      } catch (cause) {
        database.close()
        throw cause
      }
      return database
    },
    catch: (cause) => toSqlError(cause, "connect")
  })

const openReadOnly = (filename: string): DatabaseSync => {
  // Who may write moves the journal into the file when it closes it. Who may not leaves an empty journal behind.
  const hasJournal = (statSync(`${filename}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0
  const database = new DatabaseSync(filename, { timeout: 20, readOnly: hasJournal })
  database.exec("PRAGMA query_only = ON")
  return database
}

/** Takes what others may do with the file, and with a journal that was left beside it. */
const tighten = (filename: string): Effect.Effect<void> =>
  Effect.try(() => {
    for (const path of [filename, `${filename}-wal`, `${filename}-shm`]) {
      const stats = statSync(path, { throwIfNoEntry: false })
      if (stats?.isFile() === true && (stats.mode & 0o077) !== 0) chmodSync(path, 0o600)
    }
  }).pipe(
    Effect.catch(() => Effect.logWarning(`Others can read the database ${filename}, which holds private keys`))
  )

const toInput = (value: unknown): SQLInputValue => {
  if (
    value === null || typeof value === "string" || typeof value === "number" || typeof value === "bigint" ||
    value instanceof Uint8Array
  ) {
    return value
  }
  if (value === undefined) return null
  if (typeof value === "boolean") return value ? 1 : 0
  if (value instanceof Date) return value.toISOString()
  throw new TypeError(`SQLite can't store a value of type ${typeof value}`)
}

const toSqlError = (cause: unknown, operation: string): SqlError.SqlError => {
  // `node:sqlite` has `errcode`; the classifier reads `errno`.
  const classified = Predicate.hasProperty(cause, "errcode") ? Object.assign(cause, { errno: cause.errcode }) : cause
  const sentence = isDamage(cause)
    ? "The database is damaged"
    : operation === "connect"
    ? "The database can't be opened"
    : "The database refused a statement"
  const text = textOf(cause)
  const message = text === undefined ? sentence : `${sentence}: ${text}`
  return new SqlError.SqlError({ reason: SqlError.classifySqliteError(classified, { message, operation }) })
}

/** SQLITE_CORRUPT, in one of its forms. */
const isDamage = (cause: unknown): boolean =>
  Predicate.hasProperty(cause, "errcode") && Predicate.isNumber(cause.errcode) && (cause.errcode & 0xff) === 11

/** SQLite's own words, which hold no value of a row, or the system's without the path. */
const textOf = (cause: unknown): string | undefined => {
  if (!(cause instanceof Error)) return undefined
  if (Predicate.hasProperty(cause, "errcode")) return cause.message
  if (!Predicate.hasProperty(cause, "syscall") || !Predicate.hasProperty(cause, "errno")) return undefined
  return Predicate.isNumber(cause.errno) ? getSystemErrorMessage(cause.errno) : undefined
}

/**
 * The database of one file.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))
