import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Tracer from "effect/Tracer"
import { formatWithOptions, inspect } from "node:util"

/** Something that can be read of a run, and where. */
export interface Text {
  readonly where: string
  readonly text: string
}

/** How an effect ends, and all that others get to see of it. */
export const observed = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<{ readonly exit: Exit.Exit<A, E>; readonly texts: ReadonlyArray<Text> }, never, R> =>
  Effect.gen(function*() {
    const texts: Array<Text> = []
    const spans: Array<Tracer.NativeSpan> = []
    const loggers = [Logger.formatSimple, Logger.formatLogFmt, Logger.formatJson, wholeCause].map((logger) =>
      Logger.make<unknown, void>((options) => {
        texts.push({ where: `a log at ${options.logLevel}`, text: logger.log(options) })
      })
    )
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const around = yield* Around
    const within = { one: Semaphore.makeUnsafe(1), texts }
    const exit = yield* printing(
      Effect.provideService(effect, Around, within),
      around.one,
      (where, text) => texts.push({ where, text })
    ).pipe(
      Effect.exit,
      Effect.provide(Logger.layer(loggers)),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.provideService(Tracer.Tracer, tracer)
    )
    // What is written in parts, as a body that comes in parts, may have a secret across two.
    const written = ["stdout", "stderr"].map((name) => ({
      where: name,
      text: texts.flatMap(({ text, where }) => where === name ? [text] : []).join("")
    }))
    const metrics = (yield* Metric.snapshot).map((metric) => ({ where: "a metric", text: print(metric) }))
    const seen = [...texts, ...written, ...metrics, ...spans.flatMap(ofSpan), ...ofExit(exit)]
    for (const text of seen) around.texts?.push(text)
    return { exit, texts: seen }
  })

/** There is one console, and one output. What an effect within another shows, the other shows too. */
const Around = Context.Reference<{
  readonly one: Semaphore.Semaphore
  readonly texts: Array<Text> | undefined
}>("@effect-tenovos/testing/internal/observed/Around", {
  defaultValue: () => ({ one: Semaphore.makeUnsafe(1), texts: undefined })
})

/** Of an error not only its message, as a logger with a format of its own may have it. */
const wholeCause = Logger.make<unknown, string>(({ cause }) => printed(cause).join("\n"))

const ofSpan = (span: Tracer.NativeSpan): ReadonlyArray<Text> => {
  const where = `the span ${span.name}`
  return [
    { where: "the name of a span", text: span.name },
    ...Array.from(span.attributes, ([key, value]) => ({ where: `${where}, ${key}`, text: `${key}: ${print(value)}` })),
    ...span.events.map((event) => ({ where: `${where}, an event`, text: print(event) })),
    ...span.links.map(({ attributes }) => ({ where: `${where}, a link`, text: print(attributes) })),
    ...(span.status._tag === "Ended" && Exit.isFailure(span.status.exit)
      ? printed(span.status.exit.cause).map((text) => ({ where: `${where}, its failure`, text }))
      : [])
  ]
}

const ofExit = <A, E>(exit: Exit.Exit<A, E>): ReadonlyArray<Text> =>
  Exit.isSuccess(exit) ? [] : printed(exit.cause).map((text) => ({ where: "the error", text }))

/** Nothing is left out for its length. */
const whole = { depth: 20, maxArrayLength: null, maxStringLength: null }

const print = (value: unknown): string => typeof value === "string" ? value : inspect(value, whole)

/** Everything that a program might print of a failure. */
const printed = (cause: Cause.Cause<unknown>): ReadonlyArray<string> => [
  ifPossible(() => Cause.pretty(cause)),
  ...[
    cause,
    ...cause.reasons.map((reason) =>
      Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? reason.defect : undefined
    )
  ].flatMap((value) => [
    ifPossible(() => String(value)),
    ifPossible(() => JSON.stringify(value)),
    inspect(value, { ...whole, showHidden: true }),
    value instanceof Error ? value.stack ?? "" : ""
  ])
]

/** Not everything is a string or JSON: an object may contain itself, or have no prototype. */
const ifPossible = (text: () => string | undefined): string => Result.getOrElse(Result.try(text), () => "") ?? ""

// -----------------------------------------------------------------------------
// What is printed
// -----------------------------------------------------------------------------

const printing = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  one: Semaphore.Semaphore,
  record: (where: string, text: string) => void
): Effect.Effect<A, E, R> =>
  one.withPermit(Effect.acquireUseRelease(
    Effect.sync(() => [
      ...Object.entries(globalThis.console).flatMap(([name, method]) =>
        typeof method === "function"
          ? [
            replace(
              globalThis.console,
              name,
              (...args) => record(`console.${name}`, formatWithOptions(whole, ...args))
            )
          ]
          : []
      ),
      ...(["stdout", "stderr"] as const).map((name) =>
        replace(process[name], "write", (chunk, ...others) => {
          record(name, chunk instanceof Uint8Array ? Buffer.from(chunk).toString("utf8") : String(chunk))
          // Whoever writes may wait for the end of it.
          const written = others.at(-1)
          if (typeof written === "function") process.nextTick(written)
          return true
        })
      )
    ]),
    () => Effect.provideService(effect, Console.Console, globalThis.console),
    (undo) => Effect.sync(() => undo.forEach((undo) => undo()))
  ))

const replace = (target: object, name: string, method: (...args: Array<unknown>) => unknown): () => void => {
  const before = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, { configurable: true, writable: true, value: method })
  return () => {
    if (before === undefined) Reflect.deleteProperty(target, name)
    else Object.defineProperty(target, name, before)
  }
}
