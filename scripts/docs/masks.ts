// What a command prints is never the same twice: times, tokens and ports are told apart by their shape alone.

const masks: ReadonlyArray<readonly [RegExp, string]> = [
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "<time>"],
  [/\d{4}-\d\d-\d\d/g, "<date>"],
  [/eyJ[\w-]+(\.[\w-]*)+/g, "<token>"],
  [/\b[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}\b/g, "<id>"],
  [/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>"],
  [/("secondsLeft":) ?\d+/g, "$1<seconds>"],
  [/(\d+(ms|d|h|m|s) ?)+(?=left)/g, "<duration> "],
  [/\b\d+(\.\d+)? ?(ms|µs|ns)\b/g, "<duration>"]
]

export const mask = (text: string): string =>
  masks.reduce((text, [shape, name]) => text.replace(shape, name), text).replace(/[ \t]+$/gm, "").trim()

/** Whether this was printed. In what is shown, `…` stands for anything in a line, and alone in a line for any lines. */
export const isShown = (shown: string, printed: string): boolean => {
  const pattern = mask(shown).split("\n").map((line) =>
    line.trim() === "…"
      ? "(?:.*\\n)*?.*"
      : line.split("…").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join(".*?")
  ).join("\\n")
  return new RegExp(`^${pattern}$`).test(mask(printed))
}
