import { AuthorityServer, Seed } from "@effect-tenovos/server"
import { AuthorityControl } from "@effect-tenovos/testing"
import { Deferred, Effect, Redacted } from "effect"
import { build } from "esbuild"
import { type ChildProcess, fork } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Command, Order, Reply, Setup } from "./messages.ts"

const source = fileURLToPath(new URL("./worker.ts", import.meta.url))

export type Called = Extract<Reply, { readonly _tag: "called" }>

interface Member {
  readonly setup: Setup
  child: ChildProcess
  readonly calls: Map<number, Deferred.Deferred<Called | undefined>>
}

/** What the authority was asked between two looks. */
export interface Exchanges {
  readonly signIns: number
  readonly refreshes: number
  readonly refused: number
}

/**
 * So many processes that share a store, and the authority that they call, whose refresh tokens are good for one time. Time
 * passes for all of them when the test says so.
 */
export const make = Effect.fnUntraced(function*(size: number, store: Setup["store"]) {
  const { endpointUrl, origin } = yield* AuthorityServer.AuthorityServer
  const control = yield* AuthorityControl.make({ origin })
  const { apiKey, password, username } = yield* Effect.flatMap(Seed.firstStart, Effect.fromOption)
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "fleet-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  // In one file, which so many processes read sooner.
  const worker = join(folder, "worker.mjs")
  yield* Effect.promise(() =>
    build({
      entryPoints: [source],
      outfile: worker,
      bundle: true,
      format: "esm",
      platform: "node",
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" }
    })
  )
  let nextCall = 0
  let nextOrder = 0
  let advanced = 0

  const start = (member: Pick<Member, "setup" | "calls">) =>
    Effect.callback<ChildProcess>((resume) => {
      const setup = { ...member.setup, offset: member.setup.offset + advanced }
      const child = fork(worker, [JSON.stringify(setup)], { stdio: ["ignore", "ignore", "inherit", "ipc"] })
      child.on("message", (reply: Reply) => {
        if (reply._tag === "ready") return resume(Effect.succeed(child))
        const waiting = member.calls.get(reply.id)
        if (waiting !== undefined) Deferred.doneUnsafe(waiting, Effect.succeed(reply))
      })
      // Whoever dies has nothing more to say.
      child.on("exit", () => {
        for (const waiting of member.calls.values()) Deferred.doneUnsafe(waiting, Effect.undefined)
      })
    })

  const members = yield* Effect.acquireRelease(
    Effect.forEach(Array.from({ length: size }, (_, index) => index), (index) => {
      const setup: Setup = {
        endpointUrl,
        apiKey: Redacted.value(apiKey),
        username,
        password: Redacted.value(password),
        // Up to five minutes, either way, where it isn't one machine.
        offset: store._tag === "file" ? 0 : ((index * 7919) % 600_000) - 300_000,
        store
      }
      const calls: Member["calls"] = new Map()
      return Effect.map(start({ setup, calls }), (child): Member => ({ setup, calls, child }))
    }, { concurrency: 4 }),
    (members) => Effect.sync(() => members.forEach(({ child }) => child.kill("SIGKILL")))
  )

  const send = ({ child }: Member, command: Command) => Effect.sync(() => void (child.connected && child.send(command)))
  const sendAll = (command: Command) => Effect.forEach(members, (member) => send(member, command), { discard: true })

  const counts = Effect.map(control.journal.counts(), ({ authorize, refresh }) => ({
    signIns: authorize.requests,
    refreshes: refresh.requests,
    refused: (refresh.statuses[401] ?? 0) + (authorize.statuses[401] ?? 0)
  }))
  let seen: Exchanges = { signIns: 0, refreshes: 0, refused: 0 }

  return {
    members,
    control,
    /** All exchanges so far. */
    total: counts,
    /** The exchanges since this was last asked. */
    exchanges: Effect.map(counts, (now): Exchanges => {
      const before = seen
      seen = now
      return {
        signIns: now.signIns - before.signIns,
        refreshes: now.refreshes - before.refreshes,
        refused: now.refused - before.refused
      }
    }),
    advance: (milliseconds: number) =>
      Effect.gen(function*() {
        advanced += milliseconds
        yield* control.clock.advance({ payload: { advance: milliseconds } })
        yield* sendAll({ _tag: "advance", milliseconds })
      }),
    /** All call the API at once. Nothing for those who died of it. When all but one are answered, `then` happens. */
    callAll: (then: Effect.Effect<void> = Effect.void) =>
      Effect.suspend(() => {
        let left = size
        return Effect.forEach(
          members,
          (member) => {
            const id = nextCall++
            const waiting = Deferred.makeUnsafe<Called | undefined>()
            member.calls.set(id, waiting)
            return send(member, { _tag: "call", id }).pipe(
              Effect.andThen(Deferred.await(waiting)),
              Effect.tap(() => --left === 1 ? then : Effect.void),
              Effect.ensuring(Effect.sync(() => member.calls.delete(id)))
            )
          },
          { concurrency: "unbounded" }
        )
      }),
    order: (step: Order["step"], action: Order["action"]) =>
      sendAll({ _tag: "order", order: { step, action, claim: join(folder, `${nextOrder++}`) } }),
    /** Those who sleep go on. */
    wake: Effect.sync(() => members.forEach(({ child }) => child.kill("SIGCONT"))),
    /** In the place of those who died, others are started. Says how many. */
    replace: Effect.suspend(() => {
      const dead = members.filter(({ child }) => child.exitCode !== null || child.signalCode !== null)
      return Effect.as(
        Effect.forEach(dead, (member) => Effect.map(start(member), (child) => void (member.child = child)), {
          concurrency: 4
        }),
        dead.length
      )
    })
  }
})
