export * as Arbitraries from "./Arbitraries.ts"
export * as AuthorityControl from "./AuthorityControl.ts"
export * as ScriptedAuthority from "./ScriptedAuthority.ts"
export * as TestTenovos from "./TestTenovos.ts"
