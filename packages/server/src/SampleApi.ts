/**
 * Three operations of the Tenovos API, so that a program has something to call: a list, a search that comes in pages, and
 * one asset. They ask for all three headers, as every authenticated operation does, and always answer the same.
 *
 * @since 0.1.0
 */
import { ApiKeyAuth, BadRequest } from "@effect-tenovos/core/TenovosApi"
import * as Effect from "effect/Effect"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Authority } from "./Authority.ts"
import { CurrentTenant } from "./internal/tenant.ts"

/**
 * The gateway's refusal: the tokens are missing, expired, or of a session that has ended.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized extends Schema.Error<Unauthorized>("@effect-tenovos/server/SampleApi/Unauthorized")(
  Schema.Struct({ message: Schema.String }),
  { httpApiStatus: 401, description: "Missing or expired tokens." }
) {}

/**
 * Demands the access token and the id token of one live session, in `AccessToken` and `Authorization`.
 *
 * @category middleware
 * @since 0.1.0
 */
export class SessionAuth extends HttpApiMiddleware.Service<SessionAuth>()(
  "@effect-tenovos/server/SampleApi/SessionAuth",
  { error: Unauthorized }
) {}

/**
 * Asks the authority about the two tokens.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSessionAuth: Layer.Layer<SessionAuth, never, Authority> = Layer.effect(
  SessionAuth,
  Effect.map(Authority, (authority) =>
    SessionAuth.of(Effect.fnUntraced(function*(httpEffect) {
      const { headers } = yield* HttpServerRequest.HttpServerRequest
      const user = yield* authority.verify({
        tenant: yield* CurrentTenant,
        accessToken: Redacted.make(headers["accesstoken"] ?? ""),
        idToken: Redacted.make(headers["authorization"] ?? "")
      })
      if (Option.isNone(user)) return yield* new Unauthorized({ message: "Unauthorized" })
      return yield* httpEffect
    })))
)

/**
 * A permission template.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Template = Schema.Struct({ templateId: Schema.String, templateName: Schema.String }).annotate({
  identifier: "SecurityTemplate"
})

/**
 * An asset: of what the API tells about one, the two things that name it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Asset = Schema.Struct({ objectId: Schema.String, filename: Schema.String }).annotate({
  identifier: "Asset"
})

/**
 * Which assets a search wants: up to `limit` of them, 50 by default and 100 at most, `from` the first on. What else a
 * search says is not looked at, and every asset is a hit.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Search = Schema.Struct({
  from: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  limit: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })))
}).annotate({ identifier: "Search" })

/**
 * A page of what was found. `hitCount` is how many assets are on it: one with fewer than were asked for is the last.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SearchResult = Schema.Struct({
  hitCount: Schema.Int,
  result: Schema.Array(Asset)
}).annotate({ identifier: "SearchResult" })

/**
 * There is no such asset, or it is not for this user.
 *
 * @category errors
 * @since 0.1.0
 */
export class AssetNotFound extends Schema.Error<AssetNotFound>("@effect-tenovos/server/SampleApi/AssetNotFound")(
  Schema.Struct({ message: Schema.String }),
  { httpApiStatus: 403, description: "Asset not found." }
) {}

const secured = OpenApi.annotations({
  transform: (operation) => ({ ...operation, security: [{ ApiKeyAuth: [], AccessToken: [], Authorization: [] }] })
})

/**
 * `GET /security/template`, `POST /search/keyword` and `GET /asset/{id}`.
 *
 * @category groups
 * @since 0.1.0
 */
export class Sample extends HttpApiGroup.make("sample").add(
  HttpApiEndpoint.get("templates", "/security/template", { success: Schema.Array(Template) }).annotateMerge(secured),
  HttpApiEndpoint.post("search", "/search/keyword", {
    payload: Search,
    success: SearchResult,
    error: BadRequest
  }).annotateMerge(secured),
  HttpApiEndpoint.get("asset", "/asset/:id", {
    params: { id: Schema.String },
    success: Asset,
    error: AssetNotFound
  }).annotateMerge(secured)
)
  // The last one runs first.
  .middleware(SessionAuth)
  .middleware(ApiKeyAuth)
  .annotateMerge(OpenApi.annotations({ title: "Sample operations", description: "Fixed answers to call." }))
{}

/**
 * The templates that there are.
 *
 * @category constants
 * @since 0.1.0
 */
export const templates: ReadonlyArray<typeof Template.Type> = [
  { templateId: "0f3a6f0e-5f0c-4c51-9b5f-3d1f5a3f0001", templateName: "Everyone may read" },
  { templateId: "0f3a6f0e-5f0c-4c51-9b5f-3d1f5a3f0002", templateName: "Editors may change" }
]

/**
 * How many assets there are.
 *
 * @category constants
 * @since 0.1.0
 */
export const total = 1234

/**
 * The asset of this number, counted from 1, the oldest.
 *
 * @category constructors
 * @since 0.1.0
 */
export const asset = (number: number): typeof Asset.Type => {
  const digits = String(number).padStart(4, "0")
  return {
    objectId: `7c1d9a52-0a86-4f3d-8c9e-6b1f5a3f${digits}`,
    filename: `${number % 2 === 0 ? "winter" : "autumn"}-${digits}.jpg`
  }
}

/**
 * The asset of this id, if there is one.
 *
 * @category combinators
 * @since 0.1.0
 */
export const find = (id: string): Option.Option<typeof Asset.Type> => {
  const number = Number(id.slice(-4))
  return number >= 1 && number <= total && asset(number).objectId === id ? Option.some(asset(number)) : Option.none()
}

/**
 * What a search finds: the oldest first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const search = ({ from = 0, limit = 50 }: typeof Search.Type): typeof SearchResult.Type => {
  const hitCount = Math.max(0, Math.min(limit, total - from))
  return { hitCount, result: Array.from({ length: hitCount }, (_, index) => asset(from + index + 1)) }
}
