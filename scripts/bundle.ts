// Makes of the command one script for each thing that it can do, which start in a third of the time that all its modules
// take. Those stay beside it, for whoever imports them.
import { build, type BuildOptions, type Plugin } from "esbuild"
import { readFileSync, rmSync } from "node:fs"
import { isBuiltin } from "node:module"

const outdir = "packages/cli/bundle"

/**
 * To import a module of Node's is to read all that it exports, and `node:http` loads for that what `fetch` needs. So one is
 * loaded when something in it is first used, if it is a namespace and not a function or a class.
 */
const builtins: Plugin = {
  name: "builtins",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /.*/ }, ({ path }) => isBuiltin(path) ? { path, namespace: "builtin" } : undefined)
    onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => {
      const load = `process.getBuiltinModule(${JSON.stringify(path)})`
      const builtin: unknown = process.getBuiltinModule(path)
      return typeof builtin !== "object" || builtin === null ? { contents: `module.exports = ${load}` } : {
        contents: `for (const name of ${JSON.stringify(Object.keys(builtin))}) {
          Object.defineProperty(exports, name, { enumerable: true, get: () => ${load}[name] })
        }`
      }
    })
  }
}

/** No command speaks WebSocket, but Effect's server for Node would. What it needs for that is left out. */
const noWebSockets: Plugin = {
  name: "no-web-sockets",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^ws$/ }, ({ path }) => ({ path, namespace: "no-web-sockets" }))
    onLoad({ filter: /.*/, namespace: "no-web-sockets" }, () => ({
      contents: `for (const name of ["WebSocket", "WebSocketServer"]) {
        Object.defineProperty(exports, name, { get: () => { throw new Error("There are no WebSockets here") } })
      }`
    }))
  }
}

/**
 * Beside that server stands one for tests, with a good part of the platform. It would be kept although nobody wants it,
 * since to read the property that it is made of might do something.
 */
const noTestServer: Plugin = {
  name: "no-test-server",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/NodeHttpServer\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace("layer(http.createServer,", "layer(() => http.createServer(),")
    }))
  }
}

/** The scripts that `bin.ts` chooses from: what shares its chunks with all commands loads what any of them needs. */
const apart: Plugin = {
  name: "apart",
  setup: ({ onResolve }) => {
    onResolve(
      { filter: /\/(quickToken|quickServe|main)\.ts$/ },
      ({ kind, path }) =>
        kind === "dynamic-import" ? { path: `./${path.replace(/^.*\/|\.ts$/g, "")}.js`, external: true } : undefined
    )
  }
}

const bundle = (entryPoint: string, options: BuildOptions = {}) =>
  build({
    entryPoints: [entryPoint],
    outdir,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node24",
    // Names stay, so that a stack trace can be read.
    minifySyntax: true,
    minifyWhitespace: true,
    plugins: [apart, builtins, noWebSockets, noTestServer],
    logLevel: "warning",
    ...options
  })

rmSync(outdir, { recursive: true, force: true })
await bundle("packages/cli/src/bin.ts")
await bundle("packages/cli/src/internal/quickToken.ts", { minifyIdentifiers: true })
await bundle("packages/cli/src/internal/quickServe.ts", { splitting: true })
await bundle("packages/cli/src/main.ts", { splitting: true })
