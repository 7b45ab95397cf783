import { AuthError, SessionStore, TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { healthy, kindOf, options } from "./scripted.ts"

export const failure = new AuthError.AuthError({ reason: new AuthError.StoreFailure({ operation: "commit" }) })

/** A keeper of a session, its store and its authority, and what each of these fails to do. */
export const make = Effect.gen(function*() {
  const control = {
    store: yield* SessionStore.makeMemory,
    /** Writes are done, and are said to have failed. */
    isMute: false,
    isReachable: true,
    /** Done when the lease has just been given. */
    leased: Effect.void,
    /** Whether writes arrive. */
    isWritable: true,
    /** Done before the authority answers. */
    amid: Effect.void,
    /** What the authority answers to a refresh. */
    status: 200
  }
  const reached = <A, R>(
    operation: (store: SessionStore.SessionStore["Service"]) => Effect.Effect<A, AuthError.AuthError, R>
  ) => Effect.suspend(() => control.isReachable ? operation(control.store) : Effect.fail(failure))
  const layer = TenovosAuth.layer(
    options,
    Layer.succeed(SessionStore.SessionStore, {
      ...control.store,
      read: reached((store) => store.read),
      commit: (...args) =>
        Effect.tap(
          reached((store) => control.isWritable ? store.commit(...args) : Effect.fail(failure)),
          () => control.isMute ? Effect.fail(failure) : Effect.void
        ),
      clear: (generation) => reached((store) => store.clear(generation)),
      lease: Effect.tap(reached((store) => store.lease), () => Effect.suspend(() => control.leased))
    })
  ).pipe(
    Layer.provideMerge(
      ScriptedAuthority.layer((request, index) =>
        Effect.andThen(
          Effect.suspend(() => control.amid),
          Effect.suspend(() =>
            kindOf(request) === "refresh" && control.status !== 200
              ? Effect.succeed(
                Response.json({ message: "No" }, { status: control.status, headers: { "retry-after": "5" } })
              )
              : healthy(request, index)
          )
        )
      )
    )
  )
  return { control, layer }
})

export type Control = Effect.Success<typeof make>["control"]
