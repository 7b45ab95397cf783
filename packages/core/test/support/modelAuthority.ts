import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"

// An authority as a model: it issues, refreshes, revokes and ends tokens as the real one does, by a clock of its own, and
// judges what it receives. It trusts no client, and knows nothing of how one works inside.

/** What a client did that a rule of the design forbids. */
export interface Violation {
  readonly rule: number
  readonly message: string
}

export interface AuthoritySettings {
  /** Life of an access token in milliseconds: whole seconds. */
  readonly life: number
  /** Whether access tokens can be read, or only `expireEpoch` tells when they end. */
  readonly tokens: "jwt" | "opaque"
  /** Whether answers are dated. Nobody can use opaque tokens with a wrong clock without. */
  readonly dated: boolean
}

export type Outage = "none" | "drop" | "503" | "504" | "429" | "page" | "401 page" | "hang"

export interface Token {
  readonly name: string
  readonly family: Family
  /** True instants. */
  readonly requestedAt: number
  readonly issuedAt: number
  readonly expiresAt: number
  /** How many sign-outs had begun when the request for it arrived. */
  era: number
  readonly layer: number
  readonly isStorable: boolean
  /** Sums of the jumps of the client's clock when the request for it arrived. */
  readonly jumps: Jumps
  revoked: boolean
  /** Whether the API has refused it, and the client knows. */
  refused: boolean
  deliveredAt: number | undefined
  /** What the client may believe the token to live too long, as its clock is behind by less than an answer can tell. */
  grace: number
}

/** What a sign-in began: all tokens that come of it. */
export interface Family {
  readonly authenticatedAt: number
  revoked: boolean
  /** Refresh tokens that may be used. */
  readonly live: Set<string>
  readonly spent: Set<string>
}

export interface Jumps {
  forward: number
  backward: number
}

export interface Exchange {
  readonly kind: "authorize" | "refresh" | "expire"
  readonly at: number
}

class Dropped extends Data.TaggedError("Dropped") {}

export const origin = "https://api.example"
export const password = "right"
const month = 30 * 86_400_000
const day = 86_400_000

export class ModelAuthority {
  outage: Outage = "none"
  /** Seconds. */
  retryAfter = 0
  loseNext = false
  rotation = false
  /** What a refresh answers besides the access token, where nothing rotates. */
  refreshAnswers: "same" | "new" | "empty" | "none" = "same"
  passwordRight = true
  delay = 0
  resourceDelay = 0
  forbids = false
  /** Whether the API refuses every access token. */
  refuses = false

  turn: ((label: string) => Effect.Effect<void>) | undefined

  /** How many sign-outs have begun. */
  era = 0
  /** How many layers were opened. */
  layer = 0
  closing = false
  readonly jumps: Jumps = { forward: 0, backward: 0 }

  readonly violations: Array<Violation> = []
  readonly exchanges: Array<Exchange> = []
  readonly tokens = new Map<string, Token>()
  inFlight = 0
  /** Answers that reached a client, and of which nothing was heard since: neither stored nor ended. */
  readonly unstored = new Set<string>()
  /** Whether the present layer knows that its credentials are no good. */
  rejected = false
  /** The refresh token that the client ought to use. */
  refreshToken: { readonly name: string; readonly family: Family; refused: boolean } | undefined
  /** The newest token that the client has. */
  current: Token | undefined
  /** The least pause after a failure, by the policy: its number in the row, from 0. */
  leastPause: (failure: number) => number = () => 400
  /** How many attempts may fail in a row within so many milliseconds. */
  mostAttempts: (elapsed: number) => number = () => Infinity
  /** Whether somebody asked for more than a session, since the last delivery. */
  demanded = false
  /** Whether somebody is signing out. */
  isSigningOut: () => boolean = () => false
  /** How many tokens have reached the client. */
  delivered = 0
  /** Whether the client can store what comes. */
  isStorable: () => boolean = () => true
  /** A token has come that can't be stored at once. */
  cannotStore: (token: string) => void = () => {}
  /** Whether the client was told that its refresh token may be spent. */
  isGap = false
  /** What the client's clock is behind, in milliseconds. */
  clockBehind: () => number = () => 0
  /** Whether it can't be told if the client took the last answer for a failure. */
  unsure = false
  /** Whether an attempt has failed since the last session came, or may have. */
  get isTroubled(): boolean {
    return this.failing !== undefined || this.unsure || this.rejected
  }
  /** Whether somebody waits for more than a session. */
  isDemanded: () => boolean = () => false
  /** Whether the client's store has failed, so that it may have come to know less than it was told. */
  storeWasSick = false
  private failing: {
    readonly since: number
    count: number
    pauseUntil: number
    jumps: number
    readonly jumped: number
    cut: boolean
  } | undefined
  private readonly families = new Map<string, Family>()
  private readonly requests = new Map<string, Array<{ readonly status: number }>>()
  private counter = 0

  readonly settings: AuthoritySettings
  readonly now: () => number

  constructor(settings: AuthoritySettings, now: () => number) {
    this.settings = settings
    this.now = now
  }

  violate(rule: number, message: string): void {
    this.violations.push({ rule, message: `${message} (at ${this.now() - epoch} ms)` })
  }

  // ---------------------------------------------------------------------------
  // What the world does to it
  // ---------------------------------------------------------------------------

  /** Somebody began to sign out. */
  signingOut(): void {
    this.era++
    this.refreshToken = undefined
    this.current = undefined
    this.failing = undefined
  }

  /** A new layer takes over, with what the store has. */
  opened(stored: { readonly accessToken: string; readonly refreshToken: string | undefined } | undefined): void {
    this.layer++
    this.closing = false
    this.rejected = false
    this.failing = undefined
    this.demanded = true
    this.unsure = false
    this.storeWasSick = false
    this.current = undefined
    this.unstored.clear()
    this.refreshToken = undefined
    if (stored === undefined) return
    // What a sign-out could not clear, nobody can tell from what was never signed out of.
    const token = this.tokens.get(stored.accessToken)
    if (token !== undefined) token.era = this.era
    const name = stored.refreshToken ?? ""
    const family = this.families.get(name)
    if (family !== undefined) this.refreshToken = { name, family, refused: false }
  }

  /** The client has found a session that it may take for a new one: then what fails from now on is the first to fail. */
  adoptable(): void {
    if (this.failing !== undefined) this.failing.count = 0
  }

  /** The client has found what it has never seen, and may drop what it could not store. */
  givesWay(): void {
    this.current = undefined
    this.refreshToken = undefined
  }

  revokeAccess(): void {
    for (const token of this.tokens.values()) token.revoked = true
  }

  revokeRefresh(): void {
    for (const family of this.families.values()) family.revoked = true
  }

  isExpired(token: Token): boolean {
    return this.now() >= token.expiresAt
  }

  /** Whether the client ought to know that it is. */
  isKnownExpired(token: Token): boolean {
    return this.now() >= token.expiresAt + token.grace && !this.isUnknowable(token)
  }

  /** A session that was measured by one clock, and adopted by another that is behind it: nobody can know its end. */
  isUnknowable(token: Token): boolean {
    return token.layer !== this.layer && token.jumps.backward !== this.jumps.backward
  }

  /**
   * What the client may take the token's life to be shorter than it is: stamps are of whole seconds, the answer took a
   * while, and a jump forward of its clock counts as time.
   */
  doubt(token: Token): number {
    return token.layer !== this.layer && token.jumps.forward + token.jumps.backward !==
        this.jumps.forward + this.jumps.backward
      ? Infinity
      : 1001 + (token.deliveredAt ?? token.issuedAt) - token.requestedAt + this.jumps.forward - token.jumps.forward
  }

  /** How long the token is good for at least, as the client knows it. */
  leastLife(token: Token): number {
    return token.refused || token.era !== this.era ? 0 : token.expiresAt - this.now() - this.doubt(token)
  }

  // ---------------------------------------------------------------------------
  // What it receives
  // ---------------------------------------------------------------------------

  readonly client: HttpClient.HttpClient = HttpClient.make((request, url) =>
    this.answer(request, url).pipe(
      Effect.mapError((cause) =>
        new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
      ),
      Effect.map(({ body, headers, status }) => {
        const response = HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
        // Without a trip through a stream of the platform, so that all happens in virtual time.
        return Object.defineProperties(response, {
          text: { value: Effect.succeed(body) },
          stream: { value: Stream.succeed(new TextEncoder().encode(body)) }
        })
      })
    )
  )

  private answer(request: HttpClientRequest.HttpClientRequest, url: URL): Effect.Effect<Answer, Dropped> {
    return Effect.suspend(() => {
      if (url.origin !== origin) return this.foreign(request)
      if (!url.pathname.endsWith("/auth/token")) return this.resource(request, url)
      const body = request.body._tag === "Uint8Array" ? JSON.parse(new TextDecoder().decode(request.body.body)) : {}
      if (request.method === "DELETE") this.unstored.delete(body.session.accessToken)
      return request.method === "DELETE"
        ? this.exchange("expire", () => this.expire(body))
        : body.session !== undefined
        ? this.exchange("refresh", () => this.refresh(body), () => this.judgeRefresh(body))
        : this.exchange("authorize", () => this.authorize(body), () => this.judgeSignIn())
    })
  }

  private foreign(request: HttpClientRequest.HttpClientRequest): Effect.Effect<Answer> {
    for (const name of ["x-api-key", "accesstoken", "authorization"]) {
      if (request.headers[name] !== undefined) this.violate(11, `${name} went to another origin`)
    }
    return Effect.succeed({ status: 200, headers: {}, body: "{}" })
  }

  private resource(request: HttpClientRequest.HttpClientRequest, url: URL): Effect.Effect<Answer> {
    const id = request.headers["x-id"] ?? ""
    const token = this.tokens.get(request.headers["accesstoken"] ?? "")
    const earlier = this.requests.get(id) ?? []
    if (earlier.length > 1) this.violate(8, `request ${id} came ${earlier.length + 1} times`)
    if (earlier.some(({ status }) => status !== 401)) this.violate(8, `request ${id} came again without a 401`)
    if (earlier.length > 0 && request.body._tag === "Stream") this.violate(8, `the stream of request ${id} came again`)
    if (token !== undefined && this.isKnownExpired(token)) {
      this.violate(1, `${token.name} came ${this.now() - token.expiresAt} ms after its end`)
    }
    if (token !== undefined && token.era < this.era) this.violate(9, `${token.name} came after the sign-out`)
    const status = this.forbids
      ? 403
      : this.refuses || token === undefined || token.revoked || token.family.revoked || this.isExpired(token)
      ? 401
      : url.pathname.endsWith("/away")
      ? 302
      : 200
    this.requests.set(id, [...earlier, { status }])
    const answer = { status, headers: status === 302 ? { location: "https://elsewhere.example/x" } : {}, body: "{}" }
    return Effect.as(this.pause(this.resourceDelay, "answer"), answer).pipe(
      Effect.tap(() =>
        Effect.sync(() => {
          if (status === 401 && token !== undefined) token.refused = true
        })
      )
    )
  }

  /** How often a request came, and what it was answered. */
  statuses(id: string): ReadonlyArray<number> {
    return (this.requests.get(id) ?? []).map(({ status }) => status)
  }

  private exchange(
    kind: Exchange["kind"],
    process: () => Answer & { readonly token?: Token; readonly refused?: boolean },
    judge: () => void = () => {}
  ): Effect.Effect<Answer, Dropped> {
    const { delay, layer, outage } = this
    const at = this.now()
    const arrival = {
      layer,
      forward: this.jumps.forward,
      backward: this.jumps.backward,
      era: this.era,
      isStorable: this.isStorable()
    }
    this.exchanges.push({ kind, at })
    // What nobody uses any more is ended in the background.
    const counts = kind !== "expire" || this.isSigningOut() ? 1 : 0
    this.inFlight += counts
    if (counts === 1 && this.inFlight > 1) this.violate(2, `${kind} came while another exchange was under way`)
    if (kind !== "expire") this.judgeAttempt(kind, at)
    judge()

    const failed = (retryAfter = 0) =>
      kind === "expire" ? undefined : this.fail(arrival.era, retryAfter * 1000, outage === "401 page")
    const half = this.pause(delay / 2, kind)
    const healthy = half.pipe(
      Effect.andThen(Effect.suspend(() => {
        this.arrival = { ...arrival, at }
        const answer = process()
        const lost = this.loseNext
        this.loseNext = false
        return Effect.andThen(
          half,
          Effect.suspend((): Effect.Effect<Answer, Dropped> => {
            if (lost) {
              failed()
              return Effect.fail(new Dropped())
            }
            if (answer.token !== undefined) this.deliver(answer.token, answer.refreshToken)
            if (answer.refused === true) this.refusalHeard(kind)
            return Effect.succeed(answer)
          })
        )
      }))
    )
    const sick = Effect.andThen(
      this.pause(outage === "hang" ? 90_000 : delay, kind),
      Effect.suspend((): Effect.Effect<Answer, Dropped> => {
        failed(outage === "429" ? this.retryAfter : 0)
        switch (outage) {
          case "429":
            return Effect.succeed({
              status: 429,
              headers: { "retry-after": String(this.retryAfter) },
              body: `{"message":"Too many"}`
            })
          case "503":
          case "504":
            return Effect.succeed({ status: Number(outage), headers: {}, body: "<html>" })
          case "page":
            return Effect.succeed({ status: 200, headers: {}, body: "<html>a login page</html>" })
          case "401 page":
            return Effect.succeed({ status: 401, headers: {}, body: "<html>a proxy's page</html>" })
          default:
            return Effect.fail(new Dropped())
        }
      })
    )
    return (outage === "none" ? healthy : sick).pipe(
      Effect.onInterrupt(() =>
        Effect.sync(() => {
          const waited = this.now() - at
          if (waited >= (kind === "authorize" ? 35_000 : 10_000) - 1) failed()
          else if (!this.closing && layer === this.layer) {
            this.violate(6, `${kind} was given up after ${waited} ms`)
          }
        })
      ),
      Effect.ensuring(Effect.sync(() => {
        this.inFlight -= counts
      }))
    )
  }

  private arrival = { layer: 0, forward: 0, backward: 0, era: 0, isStorable: true, at: 0 }

  // ---------------------------------------------------------------------------
  // What it grants
  // ---------------------------------------------------------------------------

  private authorize(body: { readonly password?: string }): Granted {
    if (!this.passwordRight || body.password !== password) return refusal
    const family: Family = { authenticatedAt: this.now(), revoked: false, live: new Set(), spent: new Set() }
    return this.grant(family, this.newRefreshToken(family))
  }

  private refresh({ session: { refreshToken } }: RefreshBody): Granted {
    const family = this.families.get(refreshToken)
    if (family === undefined || family.revoked || this.now() >= family.authenticatedAt + month) return refusal
    if (family.spent.has(refreshToken)) {
      family.revoked = true
      return refusal
    }
    const kind = this.rotation ? "new" : this.refreshAnswers
    if (this.rotation) {
      family.live.delete(refreshToken)
      family.spent.add(refreshToken)
    }
    const next = kind === "new" ? this.newRefreshToken(family) : kind === "same" ? refreshToken : ""
    return this.grant(family, next, kind === "none")
  }

  private expire({ session: { accessToken, refreshToken } }: RefreshBody): Answer {
    const token = this.tokens.get(accessToken)
    const family = token?.family ?? this.families.get(refreshToken)
    if (family !== undefined) family.revoked = true
    if (!this.isSigningOut() && this.current !== undefined) {
      if (this.current.family === family) this.violate(4, `${this.current.name} was ended, and nobody had signed out`)
      if (token !== undefined && this.leastLife(token) > 10_000) {
        this.violate(4, `${token.name} was ended, and others may serve it`)
      }
    }
    return { status: 200, headers: {}, body: `{"session":{"accessToken":""}}` }
  }

  private newRefreshToken(family: Family): string {
    const name = `refresh-${++this.counter}`
    family.live.add(name)
    this.families.set(name, family)
    return name
  }

  private grant(family: Family, refreshToken: string, silent = false): Granted {
    const { dated, life, tokens } = this.settings
    const now = this.now()
    const second = Math.floor(now / 1000)
    const expiresAt = tokens === "jwt" ? second * 1000 + life : now + life
    const claims = { iat: second, exp: expiresAt / 1000, auth_time: Math.floor(family.authenticatedAt / 1000) }
    const plain = `access-${++this.counter}`
    const name = tokens === "jwt" ? `${plain}.${btoa(JSON.stringify(claims)).replace(/=+$/, "")}.x` : plain
    const token: Token = {
      name,
      family,
      requestedAt: this.arrival.at,
      issuedAt: now,
      expiresAt,
      era: this.arrival.era,
      layer: this.arrival.layer,
      isStorable: this.arrival.isStorable,
      jumps: { forward: this.arrival.forward, backward: this.arrival.backward },
      revoked: false,
      refused: false,
      deliveredAt: undefined,
      grace: 0
    }
    this.tokens.set(name, token)
    return {
      status: 200,
      headers: dated || tokens === "opaque" ? { date: new Date(now).toUTCString() } : {},
      body: JSON.stringify({
        endpointUrl: `${origin}/v1`,
        username: "ada",
        session: {
          accessToken: name,
          ...(silent ? {} : { refreshToken }),
          ...(tokens === "opaque" ? { expireEpoch: expiresAt } : {})
        }
      }),
      token,
      refreshToken
    }
  }

  // ---------------------------------------------------------------------------
  // What it thinks of it
  // ---------------------------------------------------------------------------

  private deliver(token: Token, refreshToken: string | undefined): void {
    token.deliveredAt = this.now()
    this.delivered++
    if (!token.isStorable) this.cannotStore(token.name)
    // Answers are stamped with whole seconds, and on their way for a while: within that clocks count as equal.
    const behind = this.clockBehind()
    token.grace = behind > 0 && behind <= 1001 + token.deliveredAt - token.requestedAt ? behind : 0
    // It was over before it arrived, or its receipt can't be dated: the client may not want it.
    const forward = this.jumps.forward !== token.jumps.forward
    if (forward || token.expiresAt - this.now() <= this.doubt(token)) {
      if (this.isExpired(token)) this.fail(token.era, 0, true)
      else this.failing = undefined
      this.unsure = true
      this.refreshToken = undefined
      this.current = undefined
      return
    }
    this.failing = undefined
    this.unsure = false
    this.demanded = false
    if (token.isStorable) this.unstored.add(token.name)
    if (token.era !== this.era) return
    this.current = token
    if (refreshToken !== undefined && refreshToken !== "") {
      this.refreshToken = { name: refreshToken, family: token.family, refused: false }
    }
  }

  private refusalHeard(kind: Exchange["kind"]): void {
    if (kind === "authorize") this.rejected = true
    else if (kind === "refresh" && this.refreshToken !== undefined) this.refreshToken.refused = true
  }

  /** `cut` is a failure that no schedule repeats: the next attempt begins a schedule anew. */
  private fail(era: number, retryAfter: number, cut: boolean): void {
    // Whoever signs out begins anew.
    if (era !== this.era) return
    const now = this.now()
    const failing = this.failing ??
      { since: now, count: 0, pauseUntil: 0, jumps: 0, jumped: this.jumps.forward, cut: false }
    failing.cut ||= cut
    failing.jumps = this.jumps.forward
    failing.pauseUntil = now + Math.max(retryAfter, this.leastPause(failing.count))
    failing.count++
    this.failing = failing
  }

  private judgeAttempt(kind: Exchange["kind"], at: number): void {
    const { failing } = this
    if (failing !== undefined) {
      // A jump forward of the client's clock counts as time.
      const pauseUntil = failing.pauseUntil - (this.jumps.forward - failing.jumps)
      if (at < pauseUntil - 1) {
        this.violate(5, `${kind} came ${pauseUntil - at} ms before the pause was over`)
      }
      if (
        !failing.cut && failing.jumped === this.jumps.forward &&
        failing.count + 1 > this.mostAttempts(at - failing.since)
      ) {
        this.violate(5, `${failing.count + 1} attempts in ${at - failing.since} ms`)
      }
    }
  }

  private judgeRefresh({ session: { accessToken, refreshToken } }: RefreshBody): void {
    const expected = this.refreshToken
    if (expected !== undefined && expected.name !== refreshToken) {
      this.violate(3, `${refreshToken} was used, and not the newer ${expected.name}`)
    }
    const token = this.tokens.get(accessToken)
    if (token === undefined) return
    if (token.era < this.era) this.violate(9, `${token.name} was renewed after the sign-out`)
    if (this.current !== undefined && this.current !== token) {
      this.violate(8, `${token.name} was renewed although the client has a newer one`)
    }
    const window = Math.min(this.advisoryWindow, this.settings.life / 5)
    if (
      !this.demanded && !this.isDemanded() && !token.refused && this.leastLife(token) > window &&
      !this.isUnknowable(token)
    ) {
      this.violate(8, `${token.name} was renewed ${this.leastLife(token)} ms before its end, and nobody asked for it`)
    }
  }

  advisoryWindow = 300_000

  private judgeSignIn(): void {
    if (this.rejected) this.violate(10, "the credentials came again after they were refused")
    const known = this.refreshToken
    if (
      known !== undefined && !known.refused && !this.storeWasSick && !this.isGap &&
      this.now() + this.jumps.forward + this.jumps.backward < known.family.authenticatedAt + month - day
    ) {
      this.violate(10, `the credentials came although ${known.name} was not refused`)
    }
  }

  pause(millis: number, label: string): Effect.Effect<void> {
    return this.turn !== undefined ? this.turn(label) : millis <= 0 ? Effect.void : Effect.sleep(millis)
  }
}

/** When virtual time begins. */
export const epoch = 1_750_000_000_000

interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
  readonly refreshToken?: string
}

interface Granted extends Answer {
  readonly token?: Token
  readonly refused?: boolean
}

interface RefreshBody {
  readonly session: { readonly accessToken: string; readonly refreshToken: string }
}

const refusal: Granted = {
  status: 401,
  headers: {},
  body: JSON.stringify({ status: "error", message: "Invalid Authentication Parameters" }),
  refused: true
}
