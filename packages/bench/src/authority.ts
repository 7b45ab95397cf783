/** What the authority costs above a server that does only what has to be done, and what others cost. */
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import type * as Scope from "effect/Scope"
import { DatabaseSync } from "node:sqlite"
import { atLeast, atMost, type Figure, median, plain, round, takeTurns, wall } from "./figure.ts"
import * as issuers from "./issuers.ts"
import { type Call, load } from "./load.ts"
import type { ServerProcess } from "./serverProcess.ts"

type Figures = Effect.Effect<ReadonlyArray<Figure>, unknown>

/** Asks a pair on new databases. */
const ofPair = (ask: (pair: issuers.Pair) => Effect.Effect<ReadonlyArray<Figure>, unknown, Scope.Scope>): Figures =>
  issuers.folder.pipe(Effect.flatMap(issuers.pair), Effect.flatMap(ask), Effect.scoped)

/**
 * In CPU, each call everything included: validation, limits, audit. Of two processes of the same server one may take a
 * tenth more than the other for as long as they live, so several are started of each.
 */
export const cost: Figures = ofPair(Effect.fnUntraced(function*(pair) {
  // On a database of its own, where no other makes the hash a dear one.
  const { cheapAuthority } = yield* issuers.pair(yield* issuers.folder)
  const ofProcesses = Effect.scoped(Effect.gen(function*() {
    const [authority, floor, cheap] = [yield* pair.authority, yield* pair.floor, yield* cheapAuthority]
    const calls = {
      refresh: yield* issuers.refreshes(authority, 16),
      floorRefresh: yield* issuers.refreshes(floor, 16),
      cheap: [issuers.signIn(cheap, "cheap")],
      floorCheap: [issuers.signIn(floor, "cheap")]
    }
    const refreshes = {
      refresh: issuers.cpuOf(authority, calls.refresh, 300),
      "floor refresh": issuers.cpuOf(floor, calls.floorRefresh, 300)
    }
    const young = yield* takeTurns(1, refreshes)
    for (const each of Object.values(calls)) yield* issuers.warmUp(each)
    const warm = yield* takeTurns(3, {
      ...refreshes,
      cheap: issuers.cpuOf(cheap, calls.cheap, 300),
      "floor cheap": issuers.cpuOf(floor, calls.floorCheap, 300),
      dear: issuers.cpuOf(authority, [issuers.signIn(authority, "dear")], 32),
      "floor dear": issuers.cpuOf(floor, [issuers.signIn(floor, "dear")], 32)
    })
    return { young, warm }
  }))
  const taken = yield* Effect.forEach(Array.from({ length: 5 }), () => ofProcesses)
  const time = (name: string, age: "young" | "warm" = "warm") => median(taken.map((one) => one[age](name)))
  const both = (name: string, age?: "young") =>
    `${round(time(name, age))} and ${round(time(`floor ${name}`, age))} ms of CPU`
  const compared = (what: string, name: string, limit: number) => [
    atMost(`${what}, in the floor`, time(name) / time(`floor ${name}`), limit, "times its CPU"),
    plain(`${what}, and the floor`, both(name))
  ]
  return [
    ...compared("refresh", "refresh", 1.25),
    plain("refresh, and the floor, before V8 has compiled them", both("refresh", "young")),
    ...compared("new token, cheap hash", "cheap", 1.25),
    ...compared("new token, argon2id", "dear", 1.05)
  ]
}))

const p99 = (millis: ReadonlyArray<number>): number =>
  millis.toSorted((a, b) => a - b)[Math.floor(millis.length * 0.99)] ?? NaN

/** The slowest refreshes, one after the other, while nobody or eight others sign in. */
export const latency: Figures = ofPair(Effect.fnUntraced(function*({ authority, floor }) {
  const measures = Effect.fnUntraced(function*(name: string, start: typeof authority) {
    const server = yield* start
    const refreshes = yield* issuers.refreshes(server, 16)
    const calm = () => load(refreshes, { connections: 1, times: 300 })
    const crowded = async () => {
      const done = new AbortController()
      const crowd = { connections: 8, times: Infinity, signal: done.signal }
      const [taken] = await Promise.all([
        calm().finally(() => done.abort()),
        load([issuers.signIn(server, "dear")], crowd)
      ])
      return taken
    }
    return {
      [`${name} calm`]: Effect.map(Effect.promise(calm), p99),
      [`${name} crowded`]: Effect.map(Effect.promise(crowded), p99)
    }
  })
  const time = yield* takeTurns(11, {
    ...yield* measures("ours", authority),
    ...yield* measures("floor", floor)
  })
  const both = (name: string) => `${round(time(`${name} calm`))} and ${round(time(`${name} crowded`))} ms`
  return [
    atMost("refresh p99 during 8 sign-ins, in the calm one", time("ours crowded") / time("ours calm"), 2, "times"),
    plain("refresh p99, calm and during 8 sign-ins", both("ours")),
    plain("the floor's, which hashes on the threads that sign", both("floor"))
  ]
}))

/** From the start of the process until it says where it listens. */
export const start: Figures = ofPair(Effect.fnUntraced(function*({ authority, floor }) {
  const started = (server: typeof authority) => Effect.scoped(Effect.map(server, ({ start }) => start))
  const time = yield* takeTurns(9, { ours: started(authority), floor: started(floor) })
  return [
    atMost("ready on an existing database, in the floor", time("ours") / time("floor"), 1.3, "times"),
    plain("ready, and the floor", `${round(time("ours"))} and ${round(time("floor"))} ms`)
  ]
}))

/** Of several processes, as one may need a tenth more than another. */
export const memory: Figures = ofPair(Effect.fnUntraced(function*({ authority }) {
  const ofProcess = Effect.scoped(Effect.gen(function*() {
    const server = yield* authority
    const refreshes = yield* issuers.refreshes(server, 16)
    const before = yield* server.usage
    yield* Effect.promise(() => load(refreshes, { connections: 16, times: 20_000 }))
    const after = yield* server.usage
    return { before: before.memory, after: after.memory }
  }))
  const taken = yield* Effect.forEach(Array.from({ length: 5 }), () => ofProcess)
  const after = taken.map(({ after }) => after)
  return [
    atMost("memory after 20,000 refreshes", median(after), 130, "MiB"),
    plain(
      "in the least and the most of five processes",
      `${round(Math.min(...after))} and ${round(Math.max(...after))} MiB`
    ),
    plain("memory at the start", `${round(median(taken.map(({ before }) => before)))} MiB`)
  ]
}))

/** Whether it stays there. */
export const endurance: Figures = ofPair(Effect.fnUntraced(function*({ authority }) {
  const server = yield* authority
  const refreshes = yield* issuers.refreshes(server, 16)
  const memoryAfter = (times: number) =>
    Effect.promise(() => load(refreshes, { connections: 16, times })).pipe(
      Effect.andThen(server.usage),
      Effect.map(({ memory }) => memory)
    )
  const early = yield* memoryAfter(20_000)
  const late = yield* memoryAfter(180_000)
  return [
    atMost("memory after 200,000 refreshes: growth since 20,000", late - early, 10, "MiB"),
    plain("memory after 20,000 and 200,000 refreshes", `${round(early)} and ${round(late)} MiB`)
  ]
}))

/** The same calls to two databases, each refreshing sessions from all over it. */
export const stored: Figures = Effect.gen(function*() {
  const few = yield* issuers.pair(yield* issuers.folder)
  const many = yield* issuers.pair(yield* issuers.folder)
  const fewServer = yield* few.cheapAuthority
  const fewRefreshes = yield* issuers.refreshes(fewServer, 100)
  yield* Effect.scoped(Effect.flatMap(many.cheapAuthority, (server) => issuers.refreshes(server, 1)))
  const filled = yield* wall(Effect.sync(() => fill(many.authorityDatabase, 1_000_000)))
  const manyServer = yield* many.cheapAuthority
  const manyRefreshes = yield* issuers.refreshes(manyServer, 1000)

  const time = yield* takeTurns(9, {
    few: issuers.cpuOf(fewServer, fewRefreshes, 300),
    many: issuers.cpuOf(manyServer, manyRefreshes, 300),
    fewWall: Effect.map(wall(issuers.cpuOf(fewServer, fewRefreshes, 300)), (millis) => millis / 300),
    manyWall: Effect.map(wall(issuers.cpuOf(manyServer, manyRefreshes, 300)), (millis) => millis / 300)
  })
  return [
    // A figure of two alike is above or below one by chance.
    atMost("refresh with 1,000,000 sessions stored, in 100", time("many") / time("few"), 1.05, "times its CPU"),
    plain(
      "refresh with 1,000,000 sessions stored, and 100",
      `${round(time("many"))} and ${round(time("few"))} ms of CPU`
    ),
    plain("time of a refresh of 16 at once", `${round(time("manyWall"))} and ${round(time("fewWall"))} ms`),
    plain("time to store 1,000,000 sessions", `${round(filled / 1000)} s`)
  ]
}).pipe(Effect.scoped)

/** Copies a session until there are so many, each with its own id and refresh token. */
const fill = (filename: string, sessions: number): void => {
  const database = new DatabaseSync(filename)
  const columns = database.prepare("SELECT name FROM pragma_table_info('sessions')").all().map(({ name }) =>
    String(name)
  )
  const values = columns.map((name) =>
    name === "id" ? "lower(hex(randomblob(16)))" : name === "refresh_token_hash" ? "lower(hex(randomblob(32)))" : name
  )
  database.exec(`
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -1000000;
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${sessions})
    INSERT INTO sessions (${columns.join(", ")})
      SELECT ${values.join(", ")} FROM n, (SELECT * FROM sessions LIMIT 1);
    PRAGMA wal_checkpoint(TRUNCATE);
  `)
  database.close()
}

/** What is served in a second, with who asks on the same machine, and the CPU that it takes. */
export const peers: Figures = ofPair(Effect.fnUntraced(function*({ authority, floor }) {
  const [server, bare] = [yield* authority, yield* floor]
  const others = {
    "cognito-local": yield* issuers.cognitoLocal,
    "oauth2-mock-server": yield* issuers.oauth2MockServer,
    "oidc-provider": yield* issuers.oidcProvider
  }
  const asked: Readonly<Record<string, readonly [ServerProcess, ReadonlyArray<Call>]>> = {
    ours: [server, yield* issuers.refreshes(server, 16)],
    floor: [bare, yield* issuers.refreshes(bare, 16)],
    ...Record.map(others, ({ refresh, server }) => [server, [refresh]] as const)
  }
  for (const [, calls] of Object.values(asked)) yield* issuers.warmUp(calls)
  const cpu = yield* takeTurns(9, Record.map(asked, ([server, calls]) => issuers.cpuOf(server, calls, 200)))
  const rate = yield* takeTurns(9, Record.map(asked, ([, calls]) => issuers.rateOf(calls, 200)))
  const compared = (name: keyof typeof others, least: number) => [
    atLeast(`refreshes a second, in those of ${name}`, rate("ours") / rate(name), least, "times"),
    plain(`refreshes a second, and of ${name}`, `${round(rate("ours"))} and ${round(rate(name))}`),
    plain(`CPU of a refresh, and of ${name}'s`, `${round(cpu("ours"))} and ${round(cpu(name))} ms`)
  ]
  return [
    ...compared("cognito-local", 3),
    ...compared("oauth2-mock-server", 1.8),
    ...compared("oidc-provider", 1.4),
    plain(
      "the floor, which waits for the disk each time",
      `${round(rate("floor"))} a second, ${round(cpu("floor"))} ms of CPU`
    )
  ]
}))
