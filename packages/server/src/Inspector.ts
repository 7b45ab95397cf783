/**
 * A page at `/__inspector` for who watches an authority that is under control: its sessions and what is left of them, what
 * their tokens say, the requests as they come, and buttons for the controls.
 *
 * It is plain HTML, CSS and JavaScript, and talks to `ControlApi`, so it shows no secret: that tells none. The one
 * answer with secrets, of a new tenant, it doesn't show.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import * as ownPackage from "./internal/ownPackage.ts"

const files = [
  ["/__inspector", "index.html", "text/html; charset=utf-8"],
  ["/__inspector/inspector.css", "inspector.css", "text/css; charset=utf-8"],
  ["/__inspector/inspector.js", "inspector.js", "text/javascript; charset=utf-8"],
  ["/__inspector/view.js", "view.js", "text/javascript; charset=utf-8"]
] as const

// Nothing from elsewhere, nothing inline, and in no other page's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/**
 * The page and its parts. They belong behind the guard of the control plane.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRoutes: Layer.Layer<never, never, HttpRouter.HttpRouter> = HttpRouter.use(
  Effect.fnUntraced(function*(router) {
    for (const [path, file, contentType] of files) {
      const body = readFileSync(ownPackage.resolve(`./inspector/${file}`))
      yield* router.add(
        "GET",
        path,
        HttpServerResponse.uint8Array(body, {
          contentType,
          headers: { "content-security-policy": policy, "referrer-policy": "no-referrer" }
        })
      )
    }
  })
)
