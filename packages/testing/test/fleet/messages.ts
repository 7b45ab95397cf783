// What the test and the processes of a fleet tell each other.

/** Where in an exchange a process can be when something happens to it. */
export const steps = ["leased", "sending", "answered", "committed"] as const
export type Step = typeof steps[number]

/** What shall happen to the first process that comes to a step; whoever creates the file is the first. */
export interface Order {
  readonly step: Step
  readonly action: "die" | "pause"
  readonly claim: string
}

export type Command =
  | { readonly _tag: "advance"; readonly milliseconds: number }
  | { readonly _tag: "order"; readonly order: Order }
  | { readonly _tag: "call"; readonly id: number }

export type Reply =
  | { readonly _tag: "ready" }
  | {
    readonly _tag: "called"
    readonly id: number
    /** Of the API's answer; zero where there was no session to call it with. */
    readonly status: number
    readonly generation: number
    readonly milliseconds: number
    readonly problem?: string
  }

/** What a process is started with. */
export interface Setup {
  readonly endpointUrl: string
  readonly apiKey: string
  readonly username: string
  readonly password: string
  /** What its clock is ahead of the others, in milliseconds. */
  readonly offset: number
  readonly store: { readonly _tag: "redis"; readonly url: string } | { readonly _tag: "file"; readonly folder: string }
}
