#!/usr/bin/env node
import { enableCompileCache } from "node:module"
import { homedir } from "node:os"
import { join } from "node:path"

// What V8 has compiled once it needn't again. The folder is the user's own: who can write it, runs as the user.
enableCompileCache(join(homedir(), ".cache", "tenovos"))
await import("./main.ts")
