import { AuthError, RefreshPolicy, SessionStore, TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { type AuthoritySettings, epoch, ModelAuthority, origin, password, type Token } from "./modelAuthority.ts"

// A client, its clock, its store and its authority, in virtual time. Nothing here is random: a program that fails is
// replayed by its seed.

export interface Settings extends AuthoritySettings {
  readonly policy: keyof typeof policies
  /** What the client's clock is ahead at first, in milliseconds. */
  readonly skew: number
  /** Milliseconds of a second that have passed at first. */
  readonly start: number
  readonly seed: number
}

export const policies = {
  standard: RefreshPolicy.standard,
  serverless: RefreshPolicy.serverless,
  batch: RefreshPolicy.batch,
  /** A schedule that gives up at once, so that all pauses are those of the keeper. */
  "no retry": RefreshPolicy.standard.pipe(RefreshPolicy.withRetry(Schedule.recurs(0))),
  "no retry, kept fresh": RefreshPolicy.batch.pipe(RefreshPolicy.withRetry(Schedule.recurs(0)))
}

export type CallKind =
  | { readonly _tag: "session" | "accessToken" | "headers" | "force" }
  | { readonly _tag: "minimum"; readonly life: number }
  | { readonly _tag: "get" | "post" | "stream" | "away" | "foreign" }

interface Call {
  readonly kind: CallKind
  readonly startedAt: number
  readonly fiber: Fiber.Fiber<unknown, unknown>
}

/** A span of the wall clock, before so many jumps back. */
interface Look {
  jumps: number
  from: number
  end: number
  over: boolean
}

export type StoreOperation = "read" | "commit" | "clear" | "lease"

/** Background work comes as far as it can without time. */
export const settle = Effect.replicateEffect(Effect.yieldNow, 12, { discard: true })

const signOutPatience = 120_000

export class SessionWorld {
  readonly authority: ModelAuthority
  readonly clock: Clock.Clock
  readonly store: SessionStore.SessionStore["Service"]
  readonly pending = new Set<Call>()
  /** Sleepers of the client. */
  sleepers = 0
  skew: number
  /** Whether callers that are interrupted give up; off to compare with those who do. */
  heedsInterrupts = true
  /** Who decides when a step of the store or the authority has its turn. */
  get turn(): ((label: string) => Effect.Effect<void>) | undefined {
    return this.authority.turn
  }
  set turn(turn: ((label: string) => Effect.Effect<void>) | undefined) {
    this.authority.turn = turn
  }
  storeDelay = 0
  readonly storeFails = new Set<StoreOperation>()
  storeBusy = 0
  leases = 0
  isGap = false
  /** Whether the store was last seen out of reach: what comes then is stored later. */
  isStoreLost = false
  /** Tokens that came then, and the generation that the client knew of the store. */
  readonly unstorable = new Map<string | undefined, number>()
  /** The generation that the client has last seen or made. */
  known = 0
  signingOut = 0
  stored: SessionStore.Stored = { generation: 0, fence: 0, session: Option.none() }
  /** When the keeper was done with storing a session, of whatever success. */
  private readonly committed = new Map<string, number>()
  private layer: {
    readonly scope: Scope.Closeable
    readonly context: Context.Context<TenovosAuth.TenovosAuth | TenovosClient.TenovosClient>
  } | undefined
  private nextId = 0

  readonly settings: Settings
  readonly testClock: TestClock.TestClock
  readonly scope: Scope.Scope

  constructor(settings: Settings, testClock: TestClock.TestClock, scope: Scope.Scope) {
    this.settings = settings
    this.testClock = testClock
    this.scope = scope
    this.skew = settings.skew
    this.authority = new ModelAuthority(settings, () => epoch + settings.start + testClock.currentTimeMillisUnsafe())
    this.authority.advisoryWindow = Duration.toMillis(policies[settings.policy].advisoryWindow)
    if (settings.policy.startsWith("no retry")) {
      this.authority.leastPause = (failure) => Math.min(30_000, 1000 * 2 ** failure)
    } else {
      this.authority.mostAttempts = (elapsed) => 2 + fastestAttempts(elapsed + 30_000)
    }
    this.authority.clockBehind = () => -this.skew
    this.authority.isSigningOut = () => this.signingOut > 0
    this.authority.isStorable = () => !this.isStoreLost
    this.authority.cannotStore = (name) => {
      this.committed.set(name, this.now())
      this.unstorable.set(name, this.known)
    }
    this.authority.isDemanded = () =>
      [...this.pending].some(({ kind }) => kind._tag === "force" || kind._tag === "minimum")
    const wall = () => Math.floor(epoch + settings.start + testClock.currentTimeMillisUnsafe() + this.skew)
    const nanos = () => BigInt(wall()) * 1_000_000n
    // Like the real one: the wall clock may be set, in nanoseconds as well, and only the monotonic one may not.
    this.clock = {
      currentTimeMillisUnsafe: wall,
      currentTimeMillis: Effect.sync(wall),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: () => testClock.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: testClock.monotonicTimeNanos,
      sleep: (duration) =>
        Effect.acquireUseRelease(
          Effect.sync(() => this.sleepers++),
          () => testClock.sleep(duration),
          () => Effect.sync(() => this.sleepers--)
        )
    }
    this.store = this.makeStore()
  }

  now(): number {
    return this.authority.now()
  }

  // ---------------------------------------------------------------------------
  // The store
  // ---------------------------------------------------------------------------

  private makeStore(): SessionStore.SessionStore["Service"] {
    const listeners = new Set<() => void>()
    const changed = () => listeners.forEach((tell) => tell())
    const operation = <A>(name: StoreOperation, f: () => A): Effect.Effect<A, AuthError.AuthError> =>
      Effect.suspend(() => {
        this.storeBusy++
        const failed = () => {
          this.authority.storeWasSick = true
          if (name === "read" || name === "lease") this.isStoreLost = true
          // Who begins with a store that can't be read knows of no session.
          if (name === "read" && this.authority.current === undefined) this.authority.refreshToken = undefined
        }
        return this.authority.pause(this.storeDelay, name).pipe(
          Effect.andThen(Effect.suspend(() => {
            if (!this.storeFails.has(name)) return Effect.sync(f)
            failed()
            return Effect.fail(new AuthError.AuthError({ reason: new AuthError.StoreFailure({ operation: name }) }))
          })),
          Effect.onInterrupt(() => Effect.sync(() => this.isStoreTooSlow && failed())),
          Effect.ensuring(Effect.sync(() => {
            this.storeBusy--
          }))
        )
      })
    return SessionStore.SessionStore.of({
      read: operation("read", () => {
        const name = Option.map(this.stored.session, ({ accessToken }) => Redacted.value(accessToken))
        const current = this.authority.current?.name
        const isOther = Option.getOrUndefined(name) !== current
        if (isOther && Option.isSome(name)) this.authority.adoptable()
        // What could not be stored was made without knowing of what is there, and gives way to it then.
        const base = this.unstorable.get(current)
        const isNews = base !== undefined && this.stored.generation > base
        if (isOther && isNews && !this.isStoreTooSlow) this.authority.givesWay()
        this.known = this.stored.generation
        return this.stored
      }),
      commit: (session, expected) => {
        // Failed is as good as done here: whoever can't write serves from memory.
        const name = Redacted.value(session.accessToken)
        return operation("commit", () => {
          if (this.stored.generation !== expected || session.generation <= expected) return false
          this.stored = { ...this.stored, generation: session.generation, session: Option.some(session) }
          this.known = session.generation
          this.isGap = false
          changed()
          return true
        }).pipe(Effect.onExit((exit) =>
          Effect.sync(() => {
            if (Exit.hasInterrupts(exit) && !this.isStoreTooSlow) return
            this.authority.unstored.delete(name)
            this.committed.set(name, this.now())
          })
        ))
      },
      clear: (generation) =>
        operation("clear", () => {
          if (this.stored.generation !== generation) return false
          this.stored = { ...this.stored, generation: generation + 1, session: Option.none() }
          this.known = generation + 1
          this.isGap = false
          changed()
          return true
        }),
      lease: Effect.suspend(() => {
        let leavesGap = false
        return Effect.acquireRelease(
          operation("lease", () => {
            if (this.leases > 0) return Option.none()
            this.leases++
            const { isGap } = this
            leavesGap = isGap
            this.isGap = true
            this.isStoreLost = false
            this.authority.isGap = isGap
            const fence = this.stored.fence + 1
            this.stored = { ...this.stored, fence }
            const { delivered } = this.authority
            const leaveGap = Effect.sync(() => {
              leavesGap = true
              if (this.authority.delivered === delivered && !this.authority.closing) {
                this.authority.violate(10, "the next is told to sign in, and nothing was spent")
              }
            })
            return Option.some({ fence, isGap, leaveGap })
          }),
          Option.match({
            onNone: () => Effect.void,
            onSome: () =>
              Effect.sync(() => {
                this.leases--
                this.isGap &&= leavesGap
                changed()
              })
          }),
          { interruptible: true }
        )
      }),
      listen: Effect.suspend(() => {
        const latch = Latch.makeUnsafe(false)
        const tell = () => latch.openUnsafe()
        return Effect.acquireRelease(
          Effect.sync(() => listeners.add(tell)),
          () => Effect.sync(() => listeners.delete(tell))
        ).pipe(Effect.as(Effect.andThen(latch.await, latch.close)))
      }),
      refusal: () => Effect.succeedNone,
      refuse: () => Effect.void
    })
  }

  // ---------------------------------------------------------------------------
  // The client
  // ---------------------------------------------------------------------------

  /** Whether what is asked of the store is given up before it answers. */
  get isStoreTooSlow(): boolean {
    return this.storeDelay >= 10_000
  }

  readonly open: Effect.Effect<void> = Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    this.known = 0
    this.isStoreLost = false
    this.authority.opened(Option.getOrUndefined(Option.map(this.stored.session, ({ accessToken, refreshToken }) => ({
      accessToken: Redacted.value(accessToken),
      refreshToken: refreshToken === undefined ? undefined : Redacted.value(refreshToken)
    }))))
    return TenovosClient.layer.pipe(
      Layer.provideMerge(TenovosAuth.layer({
        endpointUrl: `${origin}/v1`,
        apiKey: Redacted.make("key"),
        username: "ada",
        password: Redacted.make(password),
        policy: policies[this.settings.policy]
      }, Layer.succeed(SessionStore.SessionStore, this.store))),
      Layer.provide(Layer.succeed(HttpClient.HttpClient, this.authority.client)),
      Layer.buildWithScope(scope),
      Effect.provideService(Clock.Clock, this.clock),
      Random.withSeed(this.settings.seed),
      Effect.tap((context) =>
        Effect.sync(() => {
          this.layer = { scope, context }
        })
      ),
      Effect.andThen(settle)
    )
  })

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const { layer } = this
    this.layer = undefined
    this.authority.closing = true
    if (layer === undefined) return Effect.void
    // A session that has just come is still stored; nothing else may take time.
    return Effect.gen({ self: this }, function*() {
      const closing = yield* Effect.forkIn(Scope.close(layer.scope, Exit.void), this.scope, { startImmediately: true })
      yield* settle
      for (let steps = 0; this.turn === undefined && closing.pollUnsafe() === undefined; steps++) {
        if (steps > 20) return this.authority.violate(6, "the layer does not close")
        yield* this.testClock.adjust("500 millis")
        yield* settle
      }
      yield* Fiber.await(closing)
      for (const name of this.authority.unstored) {
        if (this.authority.tokens.get(name)?.era === this.authority.era) {
          this.authority.violate(3, `${name} was answered, and not stored when the layer closed`)
        }
      }
    })
  })

  get isOpen(): boolean {
    return this.layer !== undefined
  }

  private get context() {
    if (this.layer === undefined) throw new Error("the layer is closed")
    return this.layer.context
  }

  private get auth() {
    return Context.get(this.context, TenovosAuth.TenovosAuth)
  }

  /** The token of the session that the client has in hand. */
  readonly held: Effect.Effect<Token | undefined> = Effect.suspend(() =>
    Effect.map(this.auth.state, (state) =>
      "session" in state && state.session !== undefined
        ? this.authority.tokens.get(Redacted.value(state.session.accessToken))
        : undefined)
  )

  /** Begins a call. What it comes to is judged when it ends. */
  readonly call = (kind: CallKind): Effect.Effect<Call> =>
    Effect.flatMap(this.held, (held) => {
      const look = this.avoidBlindSpot()
      const id = `${++this.nextId}`
      const startedAt = this.now()
      const { era, layer } = this.authority
      if (kind._tag === "force" || kind._tag === "minimum") this.authority.demanded = true
      const atOnce = isPlain(kind) && this.signingOut === 0 && held !== undefined &&
        this.authority.leastLife(held) > this.mandatoryWindow
      let call: Call | undefined
      let over = false
      return this.effect(kind, id).pipe(
        Effect.provideService(Clock.Clock, this.clock),
        Effect.onExit((exit) =>
          Effect.flatMap(
            this.layer === undefined || layer !== this.authority.layer ? Effect.undefined : this.held,
            (held) =>
              Effect.sync(() => {
                over = true
                this.extend(look)
                look.over = true
                if (call !== undefined) this.pending.delete(call)
                if (Exit.hasInterrupts(exit) || layer !== this.authority.layer || this.layer === undefined) return
                this.judge(kind, id, exit, { era, held, startedAt, atOnce })
              })
          )
        ),
        Effect.forkIn(this.scope, { startImmediately: true }),
        Effect.map((fiber) => {
          call = { kind, startedAt, fiber }
          if (!over) this.pending.add(call)
          return call
        }),
        Effect.tap(() =>
          atOnce
            ? Effect.andThen(
              settle,
              Effect.sync(() => {
                if (!over) this.authority.violate(4, `${show(kind)} waits although ${held?.name} is good`)
              })
            )
            : Effect.void
        )
      )
    })

  /**
   * The keeper serves for up to a second without a second look, and looks at the wall clock alone: it can't tell such a
   * second from the same second once more, to which the clock was set back. That is the price of a fast read, and no
   * program here comes to it.
   */
  private avoidBlindSpot(): Look {
    const { backward } = this.authority.jumps
    const again = this.looks.find(({ end, from, jumps }) =>
      jumps !== backward && from <= this.wall() && this.wall() < end + 1000
    )
    if (again !== undefined) {
      this.jump(again.end + 1000 - this.wall())
      return this.avoidBlindSpot()
    }
    const look = { ...this.lookNow(), over: false }
    this.looks.push(look)
    return look
  }

  private lookNow(): Omit<Look, "over"> {
    return { jumps: this.authority.jumps.backward, from: this.wall(), end: this.wall() }
  }

  /** A call looks at the clock whenever it sends, from its beginning to its end. */
  private extend(look: Look): void {
    if (look.jumps === this.authority.jumps.backward) look.end = Math.max(look.end, this.wall())
  }

  private readonly looks: Array<Look> = []

  private wall(): number {
    return this.clock.currentTimeMillisUnsafe()
  }

  /** In the last fifth of a life at most, and shorter where the advisory window is. */
  get mandatoryWindow(): number {
    const { advisoryWindow, mandatoryWindow } = policies[this.settings.policy]
    const longest = this.settings.life / 5
    return Math.min(
      longest,
      Duration.toMillis(mandatoryWindow) * Math.min(1, longest / Duration.toMillis(advisoryWindow))
    )
  }

  private effect(kind: CallKind, id: string): Effect.Effect<unknown, unknown> {
    const client = Context.get(this.context, TenovosClient.TenovosClient)
    const request = (method: "GET" | "POST", url: string) =>
      HttpClientRequest.make(method)(url, { headers: { "x-id": id } })
    switch (kind._tag) {
      case "session":
      case "accessToken":
      case "headers":
        return this.auth[kind._tag]
      case "force":
        return this.auth.sessionWith({ forceRefresh: true })
      case "minimum":
        return this.auth.sessionWith({ minimumLife: kind.life })
      case "get":
        return client.execute(request("GET", "/asset"))
      case "away":
        return client.execute(request("GET", "/away"))
      case "foreign":
        return client.execute(request("GET", "https://elsewhere.example/x"))
      case "post":
        return client.execute(HttpClientRequest.bodyText(request("POST", "/asset"), "body"))
      case "stream":
        return client.execute(HttpClientRequest.bodyStream(request("POST", "/asset"), Stream.empty))
    }
  }

  // ---------------------------------------------------------------------------
  // What is expected of it
  // ---------------------------------------------------------------------------

  private judge(kind: CallKind, id: string, exit: Exit.Exit<unknown, unknown>, at: {
    readonly era: number
    readonly held: Token | undefined
    readonly startedAt: number
    readonly atOnce: boolean
  }): void {
    const { authority } = this
    const statuses = authority.statuses(id)
    if (Exit.isFailure(exit)) {
      const error = Cause.squash(exit.cause)
      const reason = error instanceof AuthError.AuthError ? error.reason._tag : String(error)
      if (reason === "NotReplayable" && (kind._tag !== "stream" || statuses[0] !== 401)) {
        authority.violate(8, `${show(kind)} failed with NotReplayable after ${statuses.join()}`)
      }
      if (!(error instanceof AuthError.AuthError)) authority.violate(0, `${show(kind)} failed with ${reason}`)
      // Whoever began before the sign-out had another session in mind.
      if (
        isPlain(kind) && at.era === authority.era && this.signingOut === 0 && at.held !== undefined &&
        authority.leastLife(at.held) > 0
      ) {
        authority.violate(4, `${show(kind)} failed with ${reason} although ${at.held.name} is good`)
      }
      return
    }
    if (kind._tag === "stream" && statuses[0] === 401) {
      authority.violate(8, "a stream that was refused did not fail with NotReplayable")
    }
    if ((kind._tag === "get" || kind._tag === "post") && statuses.length === 1 && statuses[0] === 401) {
      authority.violate(8, `${show(kind)} was refused, and not sent again`)
    }
    const token = authority.tokens.get(this.accessTokenOf(exit.value) ?? "")
    if (token === undefined) return
    if (authority.isKnownExpired(token)) {
      authority.violate(1, `${show(kind)} was served ${token.name} ${this.now() - token.expiresAt} ms after its end`)
    }
    // Who was served just before the sign-out may come to know it just after.
    if (token.era < at.era) authority.violate(9, `${show(kind)} was served ${token.name} after the sign-out`)
    if (!this.committed.has(token.name)) authority.violate(3, `${show(kind)} was served ${token.name} before the store`)
    const fresh = (this.committed.get(token.name) ?? this.now()) >= at.startedAt
    const left = token.expiresAt - this.now()
    if (
      isPlain(kind) && !fresh && !authority.isTroubled && !this.isStoreLost && token.grace === 0 &&
      left < this.mandatoryWindow / 2 && !authority.isUnknowable(token)
    ) {
      authority.violate(1, `${show(kind)} was served ${token.name}, good for ${left} ms, and nothing had failed`)
    }
    if (kind._tag === "minimum") {
      // Three quarters of what the client knows to be left of it when it came.
      const whole = token.expiresAt - (token.deliveredAt ?? 0) - authority.doubt(token)
      const least = Math.min(kind.life, whole * 0.75)
      if (!fresh && token.layer === authority.layer && token.expiresAt - this.now() < least - 1) {
        authority.violate(1, `${show(kind)} was served ${token.name}, good for ${token.expiresAt - this.now()} ms`)
      }
    }
    if (kind._tag === "force" && !fresh && token.layer === authority.layer) {
      authority.violate(8, `force was served ${token.name}, which is older`)
    }
  }

  private accessTokenOf(value: unknown): string | undefined {
    const token = Predicate.hasProperty(value, "accessToken")
      ? value.accessToken
      : Predicate.hasProperty(value, "accesstoken")
      ? value.accesstoken
      : value
    return Redacted.isRedacted(token) ? String(Redacted.value(token)) : Predicate.isString(token) ? token : undefined
  }

  /** What must hold whenever nothing moves: nobody waits for a pause while the session at hand is good. */
  readonly inspect: Effect.Effect<void> = Effect.suspend(() => {
    if (this.layer === undefined) return Effect.void
    if (this.authority.inFlight > 0 || this.storeBusy > 0 || this.signingOut > 0) return Effect.void
    return Effect.map(this.held, (held): void => {
      if (held === undefined || this.authority.leastLife(held) <= 0) return
      for (const { kind } of this.pending) {
        if (isPlain(kind)) {
          this.authority.violate(4, `${show(kind)} waits for nothing but a pause although ${held.name} is good`)
        }
      }
      if (this.pending.size === 0 && this.authority.unstored.size > 0) {
        this.authority.violate(6, `${[...this.authority.unstored].join()} was answered, and lost`)
      }
    })
  })

  readonly signOut: Effect.Effect<Fiber.Fiber<unknown, unknown>> = Effect.suspend(() => {
    this.authority.signingOut()
    this.signingOut++
    const begun = this.now()
    const { layer } = this.authority
    return this.auth.signOut.pipe(
      Effect.provideService(Clock.Clock, this.clock),
      Effect.ensuring(Effect.sync(() => {
        this.signingOut--
        if (this.now() - begun > signOutPatience && layer === this.authority.layer) {
          this.authority.violate(6, "a sign-out took more than two minutes")
        }
      })),
      Effect.forkIn(this.scope, { startImmediately: true })
    )
  })

  /** The client's clock is set. */
  jump(millis: number): void {
    const open = this.looks.filter(({ over }) => !over)
    for (const look of open) {
      this.extend(look)
      this.looks.push({ ...look, over: true })
    }
    this.skew += millis
    if (millis > 0) this.authority.jumps.forward += millis
    else this.authority.jumps.backward -= millis
    // Whoever is still under way looks again, at the clock as it is now.
    for (const look of open) Object.assign(look, this.lookNow())
  }

  /** The world is well again; then so must be the client. */
  readonly recover: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    const { authority } = this
    authority.outage = "none"
    authority.loseNext = false
    authority.delay = 0
    authority.resourceDelay = 0
    authority.forbids = false
    authority.refuses = false
    if (!authority.rejected) authority.passwordRight = true
    this.storeDelay = 0
    this.storeFails.clear()
    // Longer than any attempt, pause or `Retry-After`.
    yield* this.testClock.adjust("10 minutes")
    yield* settle
    if (this.pending.size > 0) {
      authority.violate(6, `${[...this.pending].map(({ kind }) => show(kind)).join()} never ended`)
    }
    const { fiber } = yield* this.call({ _tag: "session" })
    yield* this.testClock.adjust("1 second")
    const exit = fiber.pollUnsafe()
    if (exit === undefined || Exit.isFailure(exit) && !authority.rejected) {
      authority.violate(
        4,
        `no session although all is well: ${exit === undefined ? "waits" : Cause.pretty(exit.cause)}`
      )
    }
  })

  /** After its scope has closed nothing of the client is left. */
  readonly end: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    yield* this.close
    const { authority } = this
    const seen = authority.exchanges.length
    if (this.leases > 0) authority.violate(6, "a lease is held after the end")
    if (this.sleepers > 0) authority.violate(6, `${this.sleepers} fibers sleep after the end`)
    if (this.pending.size > 0) authority.violate(6, "a caller waits after the end")
    yield* this.testClock.adjust("1 hour")
    if (authority.exchanges.length > seen) authority.violate(6, "an exchange came after the end")
  })
}

const isPlain = (kind: CallKind): boolean =>
  kind._tag === "session" || kind._tag === "accessToken" || kind._tag === "headers"

export const show = (kind: CallKind): string => kind._tag === "minimum" ? `minimum(${kind.life})` : kind._tag

/** How many attempts the standard schedule makes at most, where every one fails at once and all jitter is low. */
const fastestAttempts = (elapsed: number): number => {
  let attempts = 0
  let at = 0
  for (let flight = 0;; flight++) {
    for (let begun = at, pause = 500;; pause = Math.min(30_000, pause * 2)) {
      if (at > elapsed) return attempts
      attempts++
      if (at - begun + pause * 0.8 > 120_000) break
      at += pause * 0.8
    }
    at += Math.min(30_000, 1000 * 2 ** flight)
  }
}
