/**
 * A token endpoint of this process. It answers after a delay, knows outages and one-time refresh tokens, and counts what
 * it is asked. It speaks the contract of Tenovos, and the plain OAuth of those who can't be taught another.
 */

export interface Options {
  /** Milliseconds that an access token lives. */
  readonly life: number
  /** Milliseconds until an answer. */
  readonly delay: number
  /** Whether a refresh token can be used once, and an answer brings the next one. */
  readonly oneTime?: boolean
}

export interface Endpoint {
  /** Answers as the service does. */
  readonly fetch: typeof globalThis.fetch
  /** Answers as an OAuth server does. */
  readonly oauthFetch: typeof globalThis.fetch
  /** Answers as Cognito does, with an access token in the form of a JWT whose `jti` is the plain one. */
  readonly cognitoFetch: typeof globalThis.fetch
  /** Instants at which it was asked for a token. */
  readonly asked: Array<number>
  /** Times that a refresh token came that had been used. */
  reused: number
  /** Whether it answers 503. */
  down: boolean
}

export const make = ({ delay, life, oneTime = false }: Options): Endpoint => {
  let issued = 0
  let latest = "refresh-0"

  const grant = (refreshToken: string | undefined, now: number) => {
    if (oneTime && refreshToken !== undefined && refreshToken !== latest) {
      endpoint.reused++
      return undefined
    }
    issued++
    if (oneTime) latest = `refresh-${issued}`
    const expiresAt = now + life
    return { accessToken: `access-${issued}-${expiresAt}`, refreshToken: latest, expiresAt }
  }

  const answer = async (
    init: RequestInit | undefined,
    read: (body: string) => string | undefined,
    write: (granted: Grant) => object
  ) => {
    endpoint.asked.push(Date.now())
    await pause(delay, init?.signal)
    const now = Date.now()
    const headers = { date: new Date(now).toUTCString() }
    if (endpoint.down) return Response.json({ message: "Service Unavailable" }, { status: 503, headers })
    const granted = grant(read(await new Response(init?.body).text()), now)
    return granted === undefined
      ? Response.json({ error: "invalid_grant", message: "Invalid refresh token" }, { status: 400, headers })
      : Response.json(write(granted), { headers })
  }

  const endpoint: Endpoint = {
    fetch: (_, init) =>
      answer(init, (body) => JSON.parse(body).session?.refreshToken, ({ accessToken, expiresAt, refreshToken }) => ({
        endpointUrl,
        session: { accessToken, refreshToken, authorization: "id", expireEpoch: expiresAt }
      })),
    oauthFetch: (_, init) =>
      answer(init, (body) => new URLSearchParams(body).get("refresh_token") ?? undefined, (granted) => ({
        access_token: granted.accessToken,
        refresh_token: granted.refreshToken,
        expires_in: life / 1000,
        token_type: "Bearer"
      })),
    cognitoFetch: (_, init) =>
      answer(init, (body) => JSON.parse(body).RefreshToken, ({ accessToken, expiresAt, refreshToken }) => ({
        AuthenticationResult: {
          AccessToken: jwt({ iat: (expiresAt - life) / 1000, exp: expiresAt / 1000, jti: accessToken }),
          RefreshToken: refreshToken
        }
      })),
    asked: [],
    reused: 0,
    down: false
  }
  return endpoint
}

/** A token that carries these claims. */
export const jwt = (claims: object): string =>
  ["{}", JSON.stringify(claims), "signature"].map((part) => Buffer.from(part).toString("base64url")).join(".")

export interface Grant {
  readonly accessToken: string
  readonly refreshToken: string
  readonly expiresAt: number
}

export const endpointUrl = "https://tenovos.test/v1"

/** Milliseconds that an access token of an endpoint lives on; negative when it is over. */
export const remaining = (accessToken: string): number => Number(accessToken.split("-")[2]) - Date.now()

const pause = (millis: number, signal: AbortSignal | null | undefined) =>
  new Promise<void>((resolve, reject) => {
    signal?.throwIfAborted()
    if (millis === 0) return resolve()
    const timer = setTimeout(resolve, millis)
    signal?.addEventListener("abort", () => {
      clearTimeout(timer)
      reject(signal.reason)
    }, { once: true })
  })
