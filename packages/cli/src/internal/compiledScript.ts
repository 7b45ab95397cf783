import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { createRequire, Module } from "node:module"
import { basename, dirname, join } from "node:path"
import { constants, Script } from "node:vm"
import { crc32 } from "node:zlib"
import { beforeFlags } from "./beforeFlags.ts"
import { cacheFolder } from "./cacheFolder.ts"

// Node keeps what V8 has compiled of a module when it has been loaded, and by then none of its functions has been called:
// each start would compile those that it calls, which takes a quarter of it. So what is bundled is a script, and kept
// when it has run.

/** Runs a script of the bundle, whose name says what is in it, and gives what it exports. */
export const load = (path: string): unknown => {
  const file = cacheFolder && join(cacheFolder, `${basename(path)}.${process.version}-${process.arch}`)
  const kept = file === undefined ? undefined : read(file)
  const script = new Script(Module.wrap(readFileSync(path, "latin1")), {
    filename: path,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(kept === undefined ? {} : { cachedData: kept })
  })
  if (file !== undefined && (kept === undefined || script.cachedDataRejected === true)) keep(script, file)

  const module = new Module(path)
  const require = createRequire(path)
  // What is loaded later shares its modules.
  require.cache[path] = module
  script.runInThisContext()(module.exports, require, module, path, dirname(path))
  return module.exports
}

/** What was kept, as it was: V8 believes what it is given. */
const read = (file: string): Buffer | undefined => {
  try {
    const bytes = readFileSync(file)
    const data = bytes.subarray(4)
    return crc32(data) === bytes.readUInt32LE() ? data : undefined
  } catch {
    return undefined
  }
}

const keep = (script: Script, file: string): void => {
  let isKept = false
  const write = () => {
    if (isKept) return
    isKept = true
    const data = script.createCachedData()
    const sum = Buffer.alloc(4)
    sum.writeUInt32LE(crc32(data))
    const temporary = `${file}.${process.pid}`
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
      writeFileSync(temporary, Buffer.concat([sum, data]), { mode: 0o600 })
      renameSync(temporary, file)
    } catch {
      // Without it the next start takes longer.
    }
  }
  beforeFlags.subscribe(write)
  process.once("exit", write)
}
