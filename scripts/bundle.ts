// Makes of the command one script for each thing that it can do, which start in a third of the time that all its modules
// take. Those stay beside it, for whoever imports them.
import { chmodSync, rmSync } from "node:fs"
import { isBuiltin } from "node:module"
import { resolve } from "node:path"
import { type OutputAsset, type OutputChunk, type OutputOptions, type Plugin, rolldown } from "rolldown"

const dir = "packages/cli/bundle"

/**
 * To import a module of Node's is to read all that it exports, and `node:http` loads for that what `fetch` needs. So one is
 * loaded when something in it is first used, if it is a namespace and not a function or a class.
 */
const builtins: Plugin = {
  name: "builtins",
  resolveId: (id) => isBuiltin(id) ? { id: `\0builtin:${id}`, moduleSideEffects: false } : undefined,
  load: (id) => {
    const [, path] = /^\0builtin:(.*)$/.exec(id) ?? []
    if (path === undefined) return undefined
    const load = `process.getBuiltinModule(${JSON.stringify(path)})`
    const builtin: unknown = process.getBuiltinModule(path)
    // Node itself has loaded the one of paths, and Effect makes a service of all its properties.
    const isAtHand = path === "node:path" || typeof builtin !== "object" || builtin === null
    if (isAtHand) return `module.exports = ${load}`
    // By a prototype: what is the object's own would be copied wherever it is imported. A function is kept when it has been
    // read, since the prototype is slow to ask.
    return `module.exports = Object.create(new Proxy({}, {
      get: (_, name, importer) => {
        const value = ${load}[name]
        if (typeof value === "function") Object.defineProperty(importer, name, { value })
        return value
      },
      has: (_, name) => name in ${load}
    }))`
  }
}

/** No command speaks WebSocket, but Effect's server for Node would. What it needs for that is left out. */
const noWebSockets: Plugin = {
  name: "no-web-sockets",
  resolveId: (id) => id === "ws" ? { id: "\0ws", moduleSideEffects: false } : undefined,
  load: (id) =>
    id === "\0ws"
      ? `export class WebSocket { constructor() { throw new Error("There are no WebSockets here") } }
        export class WebSocketServer extends WebSocket {}`
      : undefined
}

/** What `bin.ts` chooses from: what shares its chunks with all commands loads what any of them needs. */
const apart: Plugin = {
  name: "apart",
  resolveId: (id, _, { kind }) =>
    kind === "dynamic-import" && /\/(quickToken|quickServe|main)\.ts$/.test(id)
      ? { id: `./${id.replace(/^.*\/|\.ts$/g, "")}.js`, external: true }
      : undefined
}

/** A script, and a module that loads it. */
const bundle = async (input: string) => {
  const bundler = await rolldown({
    input,
    platform: "node",
    transform: { target: "node24" },
    // A server for tests stands beside the one that is used, and is made of a property that is read.
    treeshake: { propertyReadSideEffects: false },
    preserveEntrySignatures: "allow-extension",
    checks: { emptyImportMeta: false },
    plugins: [builtins, noWebSockets]
  })
  const options: OutputOptions = {
    dir,
    format: "cjs",
    charset: "ascii",
    entryFileNames: "[name]-[hash].cjs",
    chunkFileNames: "[name]-[hash].cjs",
    // Names stay, so that a stack trace can be read.
    minify: { compress: true, codegen: true, mangle: false }
  }
  const atOnce = modulesAtOnce((await bundler.generate(options)).output)
  const { output } = await bundler.write({
    ...options,
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [{ name: "at-once", test: (id) => atOnce.has(id) }]
    }
  })
  await bundler.close()
  const [{ fileName, name }] = output
  await bundleModule({ [name]: "\0loader" }, {
    name: "loader",
    resolveId: (id) => id === "\0loader" ? id : undefined,
    load: (id) =>
      id === "\0loader"
        ? `import { load } from ${JSON.stringify(resolve("packages/cli/src/internal/compiledScript.ts"))}
          export const { quickly } = load(import.meta.dirname, "${fileName}")`
        : undefined
  })
}

const bundleModule = async (input: Readonly<Record<string, string>>, plugin: Plugin) => {
  const bundler = await rolldown({ input, platform: "node", transform: { target: "node24" }, plugins: [plugin] })
  await bundler.write({ dir, codeSplitting: false, minify: { compress: true, codegen: true, mangle: false } })
  await bundler.close()
}

/** What a script can't start without. It becomes one file, as each takes a start a millisecond. */
const modulesAtOnce = (output: ReadonlyArray<OutputChunk | OutputAsset>): ReadonlySet<string> => {
  const chunks = new Map(output.flatMap((file) => file.type === "chunk" ? [[file.fileName, file] as const] : []))
  const reached = new Set(output.flatMap((file) => file.type === "chunk" && file.isEntry ? [file.fileName] : []))
  for (const name of reached) chunks.get(name)?.imports.forEach((name) => reached.add(name))
  return new Set(Array.from(reached).flatMap((name) => chunks.get(name)?.moduleIds ?? []))
}

rmSync(dir, { recursive: true, force: true })
await bundleModule({ bin: "packages/cli/src/bin.ts" }, apart)
chmodSync(`${dir}/bin.js`, 0o755)
await bundle("packages/cli/src/internal/quickToken.ts")
await bundle("packages/cli/src/internal/quickServe.ts")
await bundle("packages/cli/src/main.ts")
