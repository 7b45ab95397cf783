import { TenovosApi } from "@effect-tenovos/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { OpenApi } from "effect/http-api"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import fixture from "./fixtures/authentication.json" with { type: "json" }

interface Parameter {
  readonly name: string
  readonly in: string
  readonly required: boolean
  readonly schema: { readonly enum?: ReadonlyArray<string> }
}

// As it is served: JSON, in which a test may look anywhere.
const document = JSON.parse(JSON.stringify(OpenApi.fromApi(TenovosApi.TenovosApi)))
const operations = document.paths["/auth/token"]

describe("OpenAPI document", () => {
  it("has the two operations of the contract, under their names", () => {
    assert.deepStrictEqual(Object.keys(document.paths), ["/auth/token"])
    assert.deepStrictEqual(Object.keys(operations), ["post", "delete"])
    assert.strictEqual(operations.post.operationId, "GetAuthToken")
    assert.strictEqual(operations.delete.operationId, "ExpireToken")
    assert.strictEqual(document.info.version, "1.5")
    assert.deepStrictEqual(document.servers.map((server: { url: string }) => server.url), [
      "https://api.tenovos.io/v1",
      "https://api.uat.tenovos.io/v1"
    ])
  })

  it("names the header parameters as the page spells them, all required", () => {
    const required = ({ parameters }: { readonly parameters: ReadonlyArray<Parameter> }) =>
      parameters.filter((parameter) => parameter.in === "header" && parameter.required).map(({ name }) => name)

    assert.deepStrictEqual(required(operations.post), ["X-API-Key", "Content-Type"])
    assert.deepStrictEqual(required(operations.delete), ["X-API-Key", "AccessToken", "Content-Type"])
    assert.deepStrictEqual(
      operations.post.parameters.find((parameter: Parameter) => parameter.name === "Content-Type").schema.enum,
      ["application/json"]
    )
  })

  it("asks for the API key and Basic in one requirement", () => {
    for (const operation of [operations.post, operations.delete]) {
      assert.deepStrictEqual(operation.security, [{ ApiKeyAuth: [], BasicAuth: [] }])
    }
    assert.deepInclude(document.components.securitySchemes.ApiKeyAuth, {
      type: "apiKey",
      name: "X-API-Key",
      in: "header"
    })
    assert.deepInclude(document.components.securitySchemes.BasicAuth, { type: "http", scheme: "basic" })
  })

  it("lists every status, with the operation's body for 400 and 401 and the gateway's for the rest", () => {
    for (const operation of [operations.post, operations.delete]) {
      assert.deepStrictEqual(Object.keys(operation.responses), ["200", "400", "401", "403", "429", "502", "504"])
      for (const status of Object.keys(operation.responses).filter((status) => status !== "200")) {
        const { $ref } = operation.responses[status].content["application/json"].schema
        const schema = document.components.schemas[$ref.split("/").at(-1)]
        assert.deepStrictEqual(
          schema.required,
          status === "400" || status === "401" ? ["status", "message"] : ["message"],
          status
        )
      }
    }
  })

  it("states the fields of the three request forms and of the answer", () => {
    const { Authentication, RefreshRequest, SignInRequest } = document.components.schemas

    assert.deepStrictEqual(
      operations.post.requestBody.content["application/json"].schema.anyOf.map((member: { readonly $ref: string }) =>
        member.$ref
      ),
      ["RefreshRequest", "Authentication", "SignInRequest"].map((name) => `#/components/schemas/${name}`)
    )
    assert.deepStrictEqual(SignInRequest.required, ["username", "password"])
    assert.deepStrictEqual(RefreshRequest.properties.session.required, ["refreshToken", "accessToken"])
    assert.deepStrictEqual(types(Authentication), {
      endpointUrl: "string",
      clientId: "string",
      userPoolId: "string",
      username: "string",
      password: "string",
      session: "object"
    })
    assert.deepStrictEqual(types(Authentication.properties.session), {
      authorization: "string",
      refreshToken: "string",
      accessToken: "string",
      expireEpoch: "number"
    })
    assert.notProperty(Authentication, "required")
    assert.notProperty(Authentication.properties.session, "required")
    assert.notInclude(JSON.stringify(document), "additionalProperties")
  })

  it("wants the whole session for its expiry", () => {
    const { ExpireRequest } = document.components.schemas

    assert.strictEqual(
      operations.delete.requestBody.content["application/json"].schema.$ref,
      "#/components/schemas/ExpireRequest"
    )
    assert.deepStrictEqual(ExpireRequest.required, ["endpointUrl", "clientId", "userPoolId", "username", "session"])
    assert.deepStrictEqual(ExpireRequest.properties.session.required, ["authorization", "refreshToken", "accessToken"])
  })
})

const types = (schema: { properties: Record<string, { type: string }> }) =>
  Object.fromEntries(Object.entries(schema.properties).map(([name, property]) => [name, property.type]))

describe("Authentication", () => {
  const decode = Schema.decodeUnknownEffect(TenovosApi.Authentication)

  it.effect("decodes the page's own example, and encodes it to itself", () =>
    Effect.gen(function*() {
      const authentication = yield* decode(fixture)

      assert.deepStrictEqual(yield* Schema.encodeEffect(TenovosApi.Authentication)(authentication), fixture)
      assert.strictEqual(Redacted.value(authentication.session.accessToken), fixture.session.accessToken)
    }))

  it.effect("wants nothing but the access token", () =>
    Effect.gen(function*() {
      const authentication = yield* decode({ session: { accessToken: "a" } })

      assert.deepStrictEqual(Object.keys(authentication), ["session"])
      assert.deepStrictEqual(Object.keys(authentication.session), ["accessToken"])
    }))

  it.effect("counts what it can't read as missing, and ignores what it does not know", () =>
    Effect.gen(function*() {
      const authentication = yield* decode({
        endpointUrl: null,
        clientId: 7,
        userPoolId: [],
        username: {},
        password: false,
        roles: ["admin"],
        session: { accessToken: "a", authorization: null, refreshToken: 1, expireEpoch: "soon", scope: "x" }
      })

      assert.deepStrictEqual(Object.keys(authentication), ["session"])
      assert.deepStrictEqual(Object.keys(authentication.session), ["accessToken"])
    }))

  it.effect("reads an expireEpoch that is a string", () =>
    Effect.gen(function*() {
      const { session } = yield* decode({ session: { accessToken: "a", expireEpoch: "1546300800000" } })

      assert.strictEqual(session.expireEpoch, 1_546_300_800_000)
    }))

  for (
    const [body, path] of [
      [{}, "session"],
      [{ session: null }, "session"],
      [{ session: {} }, "session"],
      [{ session: { accessToken: null } }, "session"],
      [{ session: { accessToken: 42 } }, "session"]
    ] as const
  ) {
    it.effect(`refuses ${JSON.stringify(body)}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(decode(body))

        assert.include(error.message, `["${path}"]`)
        assert.notInclude(error.message, "42")
      }))
  }
})
