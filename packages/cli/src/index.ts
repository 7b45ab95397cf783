export * as Keys from "./Keys.ts"
export * as Serve from "./Serve.ts"
export * as Tenovos from "./Tenovos.ts"
