import {
  type AuthError,
  type AuthEvent,
  Credentials,
  type Session,
  SessionStore,
  TenovosAuth,
  TenovosClient
} from "@effect-tenovos/core"
import type { Config, Effect, Layer, Redacted, Stream } from "effect"
import type { Headers, HttpClient, HttpClientError } from "effect/http"
import { describe, expect, test } from "tstyche"

declare const apiKey: Redacted.Redacted
declare const password: Redacted.Redacted
declare const brokenStore: Layer.Layer<SessionStore.SessionStore, "broken", "database">

type Service = TenovosAuth.TenovosAuth["Service"]

const options = { apiKey, username: "ada", password }

describe("TenovosAuth", () => {
  test("fails with AuthError alone, and needs nothing", () => {
    expect<Service["session"]>().type.toBe<Effect.Effect<Session.Session, AuthError.AuthError>>()
    expect<Service["current"]>().type.toBe<() => Session.Session | undefined>()
    expect<Service["accessToken"]>().type.toBe<Effect.Effect<Redacted.Redacted, AuthError.AuthError>>()
    expect<Service["headers"]>().type.toBe<Effect.Effect<Headers.Headers, AuthError.AuthError>>()
    expect<Service["signOut"]>().type.toBe<Effect.Effect<AuthEvent.SignOut, AuthError.AuthError>>()
    expect<Service["state"]>().type.toBe<Effect.Effect<TenovosAuth.AuthState>>()
    expect<Service["events"]>().type.toBe<Stream.Stream<AuthEvent.AuthEvent>>()
    expect<ReturnType<Service["sessionWith"]>>().type.toBe<Effect.Effect<Session.Session, AuthError.AuthError>>()
    expect<ReturnType<Service["serve"]>>().type.toBe<Effect.Effect<TenovosAuth.Served, AuthError.AuthError>>()
    expect<ReturnType<Service["invalidate"]>>().type.toBe<Effect.Effect<void>>()
  })

  test("its layer can't fail, and needs an HttpClient", () => {
    expect(TenovosAuth.layer(options)).type.toBe<Layer.Layer<TenovosAuth.TenovosAuth, never, HttpClient.HttpClient>>()
  })

  test("its layer fails and needs as the store that it is given", () => {
    expect(TenovosAuth.layer(options, brokenStore)).type.toBe<
      Layer.Layer<TenovosAuth.TenovosAuth, "broken", HttpClient.HttpClient | "database">
    >()
  })

  test("its layer from the environment can fail with a ConfigError", () => {
    expect(TenovosAuth.layerConfig()).type.toBe<
      Layer.Layer<TenovosAuth.TenovosAuth, Config.ConfigError, HttpClient.HttpClient>
    >()
  })

  test("takes no secret as a plain string", () => {
    expect(TenovosAuth.layer).type.not.toBeCallableWith({ ...options, password: "secret" })
    expect(TenovosAuth.layer).type.not.toBeCallableWith({ ...options, apiKey: "key" })
    expect(Credentials.make).type.not.toBeCallableWith({ ...options, password: "secret" })
  })
})

describe("TenovosClient", () => {
  test("is an HttpClient that can also fail with AuthError", () => {
    expect<TenovosClient.TenovosClient["Service"]>().type.toBe<
      HttpClient.HttpClient.With<HttpClientError.HttpClientError | AuthError.AuthError>
    >()
  })

  test("its layer needs the session and an HttpClient", () => {
    expect(TenovosClient.layer).type.toBe<
      Layer.Layer<TenovosClient.TenovosClient, never, TenovosAuth.TenovosAuth | HttpClient.HttpClient>
    >()
  })
})
