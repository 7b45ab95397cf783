import * as Effect from "effect/Effect"
import type * as HttpApi from "effect/http-api/HttpApi"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSwagger from "effect/http-api/HttpApiSwagger"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as Layer from "effect/Layer"

/** A page about an API. Its two megabytes of script are loaded when somebody looks at it, and not at each start. */
export const layer = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<Id, Groups>,
  path: `/${string}`
): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  // It has this one route, so it finds it.
  HttpRouter.add(
    "GET",
    path,
    Effect.orDie(Effect.flatten(HttpRouter.toHttpEffect(HttpApiSwagger.layer(api, { path }))))
  )
