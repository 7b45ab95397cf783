/**
 * Other ways to keep a token, each in its natural use against the same endpoint.
 *
 * A peer whose interface takes an abort signal gets that of its caller, and hands it to what it calls.
 */
import { bearerTokenAuthenticationPolicy, createHttpHeaders, createPipelineRequest } from "@azure/core-rest-pipeline"
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import { createIsIdentityExpiredFunction, doesIdentityRequireRefresh, memoizeIdentityProvider } from "@smithy/core"
import { Amplify } from "aws-amplify"
import { fetchAuthSession } from "aws-amplify/auth"
import { cognitoUserPoolsTokenProvider } from "aws-amplify/auth/cognito"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { OAuth2Client } from "google-auth-library"
import { createServer } from "node:http"
import { type Endpoint, endpointUrl, type Grant, jwt } from "./endpoint.ts"

export interface Peer {
  readonly name: string
  readonly token: (signal?: AbortSignal) => Promise<string>
}

/** Milliseconds before its end at which a peer that has no idea of its own takes a token for expired. */
const margin = 50

/** What all those do who are given a function that fetches a token. */
const exchange = async (endpoint: Endpoint, refreshToken: string | undefined, signal?: AbortSignal): Promise<Grant> => {
  const response = await endpoint.fetch(`${endpointUrl}/auth/token`, {
    method: "POST",
    body: JSON.stringify(
      refreshToken === undefined ? { username: "ada", password: "secret" } : { session: { refreshToken } }
    ),
    signal: signal ?? null
  })
  if (!response.ok) throw new Error(`Status ${response.status}`)
  const { session } = await response.json()
  return { accessToken: session.accessToken, refreshToken: session.refreshToken, expiresAt: session.expireEpoch }
}

// -----------------------------------------------------------------------------
// By hand
// -----------------------------------------------------------------------------

/** A single flight, as a careful user writes it. */
export const byHand = (endpoint: Endpoint): Peer => {
  let current: Grant | undefined
  let flight: Promise<Grant> | undefined

  const renew = async () => {
    try {
      return current = await exchange(endpoint, current?.refreshToken)
    } finally {
      flight = undefined
    }
  }

  return {
    name: "by hand",
    token: async () => {
      if (current !== undefined && Date.now() < current.expiresAt - margin) return current.accessToken
      return (await (flight ??= renew())).accessToken
    }
  }
}

/** The same, which also renews in the background before the end. */
export const byHandProactive = (endpoint: Endpoint, window = 500): Peer => {
  let current: Grant | undefined
  let flight: Promise<Grant> | undefined

  const renew = async () => {
    try {
      return current = await exchange(endpoint, current?.refreshToken)
    } finally {
      flight = undefined
    }
  }

  return {
    name: "by hand, proactive",
    token: async () => {
      const left = current === undefined ? 0 : current.expiresAt - Date.now()
      if (current !== undefined && left > margin) {
        if (left < window) (flight ??= renew()).catch(() => {})
        return current.accessToken
      }
      return (await (flight ??= renew())).accessToken
    }
  }
}

// -----------------------------------------------------------------------------
// Libraries
// -----------------------------------------------------------------------------

export const smithy = (endpoint: Endpoint): Peer => {
  let refreshToken: string | undefined
  const identity = memoizeIdentityProvider(
    async (options?: Record<string, unknown>) => {
      const signal = options?.["abortSignal"]
      const granted = await exchange(endpoint, refreshToken, signal instanceof AbortSignal ? signal : undefined)
      refreshToken = granted.refreshToken
      return { token: granted.accessToken, expiration: new Date(granted.expiresAt) }
    },
    createIsIdentityExpiredFunction(margin),
    doesIdentityRequireRefresh
  )
  if (identity === undefined) throw new Error("There is a provider")
  return {
    name: "smithy",
    token: (signal) => identity(signal && { abortSignal: signal }).then(({ token }) => token)
  }
}

export const google = (endpoint: Endpoint): Peer => {
  const client = new OAuth2Client({
    clientId: "client",
    clientSecret: "secret",
    endpoints: { oauth2TokenUrl: `${endpointUrl}/auth/token` },
    eagerRefreshThresholdMillis: margin,
    transporterOptions: { fetchImplementation: endpoint.oauthFetch }
  })
  client.setCredentials({ refresh_token: "refresh-0" })
  return { name: "google-auth-library", token: async () => (await client.getAccessToken()).token ?? "" }
}

export const azure = (endpoint: Endpoint): Peer => {
  let refreshToken: string | undefined
  const policy = bearerTokenAuthenticationPolicy({
    scopes: "scope",
    credential: {
      getToken: async (_, options) => {
        const signal = options?.abortSignal
        const granted = await exchange(endpoint, refreshToken, signal instanceof AbortSignal ? signal : undefined)
        refreshToken = granted.refreshToken
        return { token: granted.accessToken, expiresOnTimestamp: granted.expiresAt }
      }
    }
  })
  return {
    name: "azure bearer policy",
    token: async (signal) => {
      const request = createPipelineRequest({ url: endpointUrl, ...signal && { abortSignal: signal } })
      await policy.sendRequest(request, async () => ({ request, status: 200, headers: createHttpHeaders() }))
      return request.headers.get("authorization")?.slice("Bearer ".length) ?? ""
    }
  }
}

/** There is one Amplify in a process, and it fetches by itself: its endpoint is on loopback. */
export const amplify = (endpoint: Endpoint): Peer => {
  const server = createServer(async (request, response) => {
    const chunks: Array<Uint8Array> = []
    for await (const chunk of request) chunks.push(chunk)
    const answer = await endpoint.cognitoFetch("", { method: "POST", body: Buffer.concat(chunks).toString() })
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text())
  })

  const configured = new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      server.unref()
      const address = server.address()
      const port = typeof address === "object" ? address?.port : undefined
      Amplify.configure({
        Auth: {
          Cognito: {
            userPoolId: "us-east-1_pool",
            userPoolClientId: "client",
            userPoolEndpoint: `http://127.0.0.1:${port}`
          }
        }
      })
      const prefix = "CognitoIdentityServiceProvider.client"
      const stored = new Map([
        [`${prefix}.LastAuthUser`, "ada"],
        [`${prefix}.ada.accessToken`, jwt({ iat: 0, exp: 1 })],
        [`${prefix}.ada.refreshToken`, "refresh-0"],
        [`${prefix}.ada.clockDrift`, "0"]
      ])
      cognitoUserPoolsTokenProvider.setKeyValueStorage({
        getItem: async (key) => stored.get(key) ?? null,
        setItem: async (key, value) => void stored.set(key, value),
        removeItem: async (key) => void stored.delete(key),
        clear: async () => stored.clear()
      })
      resolve()
    })
  })

  return {
    name: "aws-amplify",
    token: async () => {
      await configured
      const { tokens } = await fetchAuthSession()
      if (tokens === undefined) throw new Error("Amplify has no tokens")
      return String(tokens.accessToken.payload["jti"])
    }
  }
}

// -----------------------------------------------------------------------------
// This library
// -----------------------------------------------------------------------------

export const layer = (
  endpoint: Endpoint,
  options?: Partial<TenovosAuth.Options>
): Layer.Layer<TenovosAuth.TenovosAuth> =>
  TenovosAuth.layer({
    endpointUrl,
    apiKey: Redacted.make("key"),
    username: "ada",
    password: Redacted.make("secret"),
    ...options
  }).pipe(
    Layer.provide(FetchHttpClient.layer),
    Layer.provide(Layer.succeed(FetchHttpClient.Fetch, endpoint.fetch))
  )

/** From a program of promises. */
export const tenovos = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  options?: Partial<TenovosAuth.Options>
): Effect.fn.Return<Peer, never, Scope.Scope> {
  const context = yield* Layer.build(layer(endpoint, options))
  const run = Effect.runPromiseWith(context)
  const token = Effect.flatMap(TenovosAuth.TenovosAuth, ({ session }) => session).pipe(
    Effect.map(({ accessToken }) => Redacted.value(accessToken))
  )
  return { name: "effect-tenovos", token: (signal) => run(token, signal && { signal }) }
})
