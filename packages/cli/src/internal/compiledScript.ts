import { readFileSync, writeFileSync } from "node:fs"
import { createRequire, getCompileCacheDir, Module } from "node:module"
import { join } from "node:path"
import { constants, Script } from "node:vm"
import { crc32 } from "node:zlib"
import { beforeFlags } from "./beforeFlags.ts"

// Node keeps what V8 has compiled of a module when it has been loaded, and by then none of its functions has been called:
// each start would compile those that it calls, which takes a quarter of it. So what is bundled is a script, and kept
// when it has run.

/** Runs a script of the bundle, whose name has the hash of what is in it, and gives what it exports. */
export const load = (folder: string, name: string): unknown => {
  const path = join(folder, name)
  // Beside what Node keeps, if it does: its folder is for this build of Node, these flags of V8's and this user alone.
  const cache = getCompileCacheDir()
  const file = cache === undefined ? undefined : join(cache, name)
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
  script.runInThisContext()(module.exports, require, module, path, folder)
  return module.exports
}

/** What was kept, unless it is damaged or another process is writing it: V8 believes what it is given. */
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
    try {
      writeFileSync(file, Buffer.concat([sum, data]), { mode: 0o600 })
    } catch {
      // Without it the next start takes longer.
    }
  }
  beforeFlags.subscribe(write)
  // What has failed has called little of what the next start will.
  process.once("exit", (code) => code === 0 && write())
}
