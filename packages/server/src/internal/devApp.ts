import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authority } from "../Authority.ts"
import * as AuthorityApi from "../AuthorityApi.ts"
import * as Control from "../Control.ts"
import * as ControlServer from "../ControlServer.ts"
import * as controlled from "./controlled.ts"
import * as nodeServer from "./nodeServer.ts"
import { withoutClock } from "./withoutClock.ts"

/** The application under control, on a socket of Node. */
export const make = Effect.flatMap(
  Effect.all([Authority, Control.make]),
  ([authority, control]) =>
    AuthorityApi.makeWith(Layer.provide(ControlServer.layerRoutes, Layer.succeed(Control.Control, control))).pipe(
      withoutClock,
      Effect.map((app) =>
        controlled.make(nodeServer.requireHost(app), { authority, control, sever: controlled.severSocket })
      )
    )
)
