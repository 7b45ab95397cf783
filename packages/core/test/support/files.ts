import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as PlatformError from "effect/PlatformError"
import { basename } from "node:path"

/** One that reaches the operating system; `file` is the last part of its path. */
export interface Call {
  readonly method: string
  readonly file: string
  /** Of a write: writes the first half. */
  readonly half?: Effect.Effect<void, PlatformError.PlatformError>
}

export const real = Layer.merge(NodeFileSystem.layer, Path.layer)

/** The real file system, behind something that is asked before each call. */
export const behind = (
  gate: (call: Call) => Effect.Effect<void, PlatformError.PlatformError>
): Layer.Layer<FileSystem.FileSystem | Path.Path> =>
  Layer.merge(
    Layer.effect(
      FileSystem.FileSystem,
      Effect.map(FileSystem.FileSystem, (fs): FileSystem.FileSystem => {
        const gated = <Rest extends Array<unknown>, A, R>(
          method: string,
          f: (path: string, ...rest: Rest) => Effect.Effect<A, PlatformError.PlatformError, R>
        ) =>
        (path: string, ...rest: Rest) => Effect.andThen(gate({ method, file: basename(path) }), f(path, ...rest))
        return {
          ...fs,
          lstat: gated("lstat", fs.lstat),
          stat: gated("stat", fs.stat),
          exists: gated("exists", fs.exists),
          chmod: gated("chmod", fs.chmod),
          link: gated("link", fs.link),
          remove: gated("remove", fs.remove),
          makeDirectory: gated("makeDirectory", fs.makeDirectory),
          readDirectory: gated("readDirectory", fs.readDirectory),
          readFileString: gated("readFileString", fs.readFileString),
          open: (path, options) =>
            Effect.map(gated("open", fs.open)(path, options), (opened) => {
              const file = basename(path)
              return Object.create(opened, {
                sync: { value: Effect.andThen(gate({ method: "sync", file }), opened.sync) },
                writeAll: {
                  value: (bytes: Uint8Array) =>
                    Effect.andThen(
                      gate({ method: "writeAll", file, half: opened.writeAll(bytes.slice(0, bytes.length / 2)) }),
                      opened.writeAll(bytes)
                    )
                }
              })
            })
        }
      })
    ).pipe(Layer.provide(NodeFileSystem.layer)),
    Path.layer
  )

/** As the operating system would say it. */
export const refusal = (
  { file, method }: Call,
  _tag: PlatformError.SystemErrorTag,
  text: string
): PlatformError.PlatformError =>
  PlatformError.systemError({
    _tag,
    module: "FileSystem",
    method,
    pathOrDescriptor: file,
    cause: new Error(text)
  })
