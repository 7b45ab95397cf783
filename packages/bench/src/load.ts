import { Agent, request } from "node:http"

/** A request that can be sent again and again. */
export interface Call {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Options {
  /** How many calls are under way at a time, each on its own connection. */
  readonly connections: number
  /** How many are sent altogether. */
  readonly times: number
  /** Ends it before. */
  readonly signal?: AbortSignal
}

/** Sends calls in turn, and tells the milliseconds until each was answered. */
export const load = async (calls: ReadonlyArray<Call>, options: Options): Promise<Array<number>> => {
  const agent = new Agent({ keepAlive: true, maxSockets: options.connections })
  const taken: Array<number> = []
  let sent = 0
  const work = async () => {
    while (sent < options.times && options.signal?.aborted !== true) {
      const call = calls[sent++ % calls.length]
      if (call === undefined) return
      const before = performance.now()
      await send(call, agent)
      taken.push(performance.now() - before)
    }
  }
  try {
    await Promise.all(Array.from({ length: options.connections }, work))
  } finally {
    agent.destroy()
  }
  return taken
}

/** The text of the answer, which must be a success. */
export const send = ({ body, headers, url }: Call, agent = new Agent()): Promise<string> =>
  new Promise((resolve, reject) => {
    const length = { "content-length": Buffer.byteLength(body) }
    request(url, { method: "POST", headers: { ...headers, ...length }, agent }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk) => text += chunk)
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`${url} answered ${response.statusCode}: ${text}`))
      })
      response.on("error", reject)
    }).on("error", reject).end(body)
  })
