/** Two authorities on one PostgreSQL beside one, each held to the same small share of a core. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { cpus } from "node:os"
import { bundle } from "./compile.ts"
import { atLeast, type Figure, median, plain, round, takeTurns } from "./figure.ts"
import * as issuers from "./issuers.ts"
import { type Call, load } from "./load.ts"
import { postgres } from "./postgres.ts"
import type { ServerProcess } from "./serverProcess.ts"
import * as share from "./share.ts"

// An authority that takes what it can get uses more than one core, as signatures are made on threads. On few cores a
// second one then has nothing to run on, whatever the database could bear. So that each has its own, both are held to
// what leaves enough for the two, the database and who asks.
const cores = 0.1

/** How much of their shares processes must have used, or it was something else that held them back. */
const bound = 0.85

/** How far what each of two used may be from what one alone did: one that is given more serves more. */
const unlike = 0.1

const connections = 16
const seconds = 4
const rounds = 7

interface Server {
  readonly process: ServerProcess
  readonly calls: ReadonlyArray<Call>
}

/** What servers that are asked at the same time do in a second, altogether. */
interface Measured {
  readonly refreshes: number
  /** How much of their shares they have used. */
  readonly used: number
  /** Cores of the machine that nobody used. */
  readonly idle: number
}

const measure = Effect.fnUntraced(function*(servers: ReadonlyArray<Server>): Effect.fn.Return<Measured> {
  const used = Effect.forEach(servers, ({ process }) => Effect.map(process.usage, ({ cpu }) => cpu))
  const idle = () => cpus().reduce((sum, { times }) => sum + times.idle, 0)
  const [usedBefore, idleBefore, before] = [yield* used, idle(), performance.now()]
  const signal = AbortSignal.timeout(seconds * 1000)
  const taken = yield* Effect.promise(() =>
    Promise.all(servers.map(({ calls }) => load(calls, { connections, times: Infinity, signal })))
  )
  const [millis, idleAfter] = [performance.now() - before, idle()]
  const shares = (yield* used).map((cpu, i) => (cpu - (usedBefore[i] ?? NaN)) / millis / cores)
  return {
    refreshes: taken.flat().length / millis * 1000,
    used: shares.reduce((sum, share) => sum + share, 0) / shares.length,
    idle: (idleAfter - idleBefore) / millis
  }
})

/** Rounds of one and of two, in turns. The first doesn't count. */
const takeRounds = Effect.fnUntraced(function*(first: Server, second: Server) {
  const taken = yield* Effect.forEach(
    Array.from({ length: rounds + 1 }),
    () => Effect.all({ one: measure([first]), two: measure([first, second]) })
  )
  const counted = taken.slice(1)
  return (name: "one" | "two", key: keyof Measured) => median(counted.map((round) => round[name][key]))
})

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const what = "two processes on PostgreSQL"
  const holder = yield* share.hold
  if (Option.isNone(holder)) return [plain(what, "not measured: needs root and control groups, or cpulimit")]
  const { by, hold } = holder.value
  const url = yield* postgres
  if (Option.isNone(url)) return [plain(what, "not measured: no PostgreSQL here")]
  yield* bundle

  const start = Effect.fnUntraced(function*(database: string, args?: ReadonlyArray<string>) {
    const process = yield* issuers.authority(database, args)
    const calls = yield* issuers.refreshes(process, connections)
    // Until V8 has compiled what a refresh needs, one takes twice as long.
    yield* issuers.cpuOf(process, calls, 600)
    return { process, calls }
  })
  const folder = yield* issuers.folder
  const first = yield* start(url.value, issuers.seeded(folder))
  const second = yield* start(url.value)
  const sqlite = yield* start(`${folder}/authority.sqlite`, issuers.seeded(folder))
  const cpu = yield* takeTurns(7, {
    postgres: issuers.cpuOf(first.process, first.calls, 200),
    sqlite: issuers.cpuOf(sqlite.process, sqlite.calls, 200)
  })

  yield* hold(first.process.pid, cores)
  yield* hold(second.process.pid, cores)
  const value = yield* takeRounds(first, second)
  const used = [value("one", "used"), value("two", "used")] as const
  const areAlike = Math.abs(used[1] / used[0] - 1) <= unlike
  const ratio = value("two", "refreshes") / value("one", "refreshes")
  return [
    Math.min(...used) >= bound && areAlike
      ? atLeast(`refreshes of ${what}, in one, each held to ${cores} of a core by ${by}`, ratio, 1.7, "times")
      : plain(what, "not measured: the machine didn't give each the same share"),
    plain(
      "refreshes of two processes, and of one",
      `${round(value("two", "refreshes"))} and ${round(value("one", "refreshes"))} a second`
    ),
    plain(
      "CPU that two used of their shares, and one of its own",
      `${percent(value("two", "used"))} and ${percent(value("one", "used"))}`
    ),
    plain("cores left while two serve", `${round(value("two", "idle"))} of ${cpus().length}`),
    plain(
      "CPU of a refresh on PostgreSQL, the database's apart, and on SQLite",
      `${round(cpu("postgres"))} and ${round(cpu("sqlite"))} ms`
    )
  ]
}).pipe(Effect.scoped)

const percent = (part: number): string => `${Math.round(part * 100)} %`
