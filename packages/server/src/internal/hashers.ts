import type * as Argon2 from "@node-rs/argon2"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { createRequire } from "node:module"
import { Worker } from "node:worker_threads"
import * as ownPackage from "./ownPackage.ts"

// Threads that do nothing but argon2. libuv's four are left to the signatures, and a hash, which takes tens of
// milliseconds of a core, gives way to whatever else the process has to do. A cheap one needs no thread.

interface Parameters {
  /** In KiB. */
  readonly memoryCost: number
  readonly timeCost: number
}

/** What a hash was made with, if this package could have made it. */
export const parametersOf = (hash: string): Option.Option<Parameters> => {
  const [, memoryCost, timeCost] = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=1\$/.exec(hash) ?? []
  return memoryCost === undefined || timeCost === undefined
    ? Option.none()
    : Option.some({ memoryCost: Number(memoryCost), timeCost: Number(timeCost) })
}

export interface Hashers {
  readonly hash: (password: string, parameters: Parameters) => Effect.Effect<string>
  readonly verify: (hash: string, password: string) => Effect.Effect<boolean>
}

/** Threads start when they are first needed, and end with the scope. They keep no process alive that waits for none. */
export const make = Effect.fnUntraced(function*(size: number): Effect.fn.Return<Hashers, never, Scope.Scope> {
  const threads = new Set<Thread>()
  const places = yield* Semaphore.make(size * jobsAtHand)
  yield* Effect.addFinalizer(() =>
    Effect.promise(() => Promise.all(Array.from(threads, ({ worker }) => worker.terminate())))
  )

  const start = (): Thread => {
    const worker = new Worker(program, {
      eval: true,
      workerData: ownPackage.resolve("@node-rs/argon2"),
      execArgv: [],
      env: {}
    })
    const thread: Thread = { worker, jobs: [] }
    // It answers in the order in which it was asked.
    worker.on("message", (outcome: Outcome) => {
      const settle = thread.jobs.shift()
      if (thread.jobs.length === 0) worker.unref()
      settle?.(outcome.ok ? Effect.succeed(outcome.value) : Effect.die(unhashable()))
    })
    // An exit follows.
    worker.on("error", () => {})
    worker.on("exit", () => {
      threads.delete(thread)
      for (const settle of thread.jobs) settle(Effect.die(new Error("A thread for passwords has ended")))
    })
    threads.add(thread)
    return thread
  }

  /** One that has nothing to do, a new one, or the one with the least to do. */
  const pick = (): Thread => {
    let least: Thread | undefined
    for (const thread of threads) {
      if (least === undefined || thread.jobs.length < least.jobs.length) least = thread
    }
    return least === undefined || (least.jobs.length > 0 && threads.size < size) ? start() : least
  }

  let argon2: typeof Argon2 | undefined

  const runHere = (job: Job) =>
    Effect.try(() => {
      const { hashSync, verifySync } = argon2 ??= load()
      return "hash" in job ? verifySync(job.hash, job.password) : hashSync(job.password, job.parameters)
    }).pipe(Effect.catch(() => Effect.die(unhashable())))

  const runThere = (job: Job) =>
    Effect.callback<string | boolean>((resume) => {
      const { jobs, worker } = pick()
      if (jobs.push(resume) === 1) worker.ref()
      worker.postMessage(job)
    }).pipe(
      // A thread that has begun goes on when its caller is gone, so its place isn't free before it ends.
      Effect.uninterruptible,
      places.withPermit
    )

  const run = (job: Job, parameters: Option.Option<Parameters>) =>
    Option.exists(parameters, isCheap) ? runHere(job) : runThere(job)

  return {
    hash: (password, parameters) =>
      Effect.map(run({ password, parameters: { ...parameters, parallelism: 1 } }, Option.some(parameters)), String),
    verify: (hash, password) => Effect.map(run({ hash, password }, parametersOf(hash)), (value) => value === true)
  }
})

/** Whether it is made in less time than it takes to wake a thread. Nobody's passwords are, but those of tests. */
const isCheap = ({ memoryCost, timeCost }: Parameters): boolean => memoryCost * timeCost <= 64

const load = (): typeof Argon2 => createRequire(import.meta.url)(ownPackage.resolve("@node-rs/argon2"))

const unhashable = () => new Error("A password can't be hashed")

/** A thread that finds its next job at hand needn't be woken, which would take longer than a cheap hash. */
const jobsAtHand = 8

interface Thread {
  readonly worker: Worker
  /** Who waits for an answer, in the order in which they asked. */
  readonly jobs: Array<(answer: Effect.Effect<string | boolean>) => void>
}

type Job =
  | { readonly password: string; readonly parameters: Parameters & { readonly parallelism: 1 } }
  | { readonly password: string; readonly hash: string }

type Outcome = { readonly ok: true; readonly value: string | boolean } | { readonly ok: false }

// As text: a script starts in a third of the time that a module takes. What argon2 says of an error may hold the hash,
// so it isn't passed on. On Linux a priority is a thread's own; elsewhere it would be the process's, and stays.
const program = `
const { readlinkSync } = require("node:fs")
const { setPriority } = require("node:os")
const { parentPort, workerData } = require("node:worker_threads")
const { hashSync, verifySync } = require(workerData)
try {
  setPriority(Number(readlinkSync("/proc/thread-self").split("/").pop()), 5)
} catch {}
parentPort.on("message", ({ hash, parameters, password }) => {
  try {
    const value = hash === undefined ? hashSync(password, parameters) : verifySync(hash, password)
    parentPort.postMessage({ ok: true, value })
  } catch {
    parentPort.postMessage({ ok: false })
  }
})
`
