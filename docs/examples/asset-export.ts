/**
 * Exports all assets, a file of JSON lines for each hundred, with eight searches under way at a time.
 *
 * Killed and started again, it goes on where it was: a file is there as a whole or not at all, and a page that is there
 * and full is not fetched again. So no asset is lost, and none is in two files.
 */
import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem, Layer, Path, Schedule, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"

const pageSize = 100
/** A search finds no more than so many: `/search/scan` is for who has more. */
const searchable = 10_000

const Page = Schema.Struct({ hitCount: Schema.Int, result: Schema.Array(Schema.Json) })

class TooManyAssets extends Schema.TaggedError<TooManyAssets>()("TooManyAssets", {}) {
  override get message(): string {
    return `There may be more assets than the ${searchable} that a search finds`
  }
}

export const exportAssets = Effect.fn("exportAssets")(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const client = (yield* TenovosClient.TenovosClient).pipe(
    HttpClient.filterStatusOk,
    // A search changes nothing, so it can be sent again when the API or the network had a bad moment.
    HttpClient.retryTransient({ schedule: Schedule.exponential("200 millis"), times: 5 })
  )
  yield* fs.makeDirectory(folder, { recursive: true })
  const kept = new Set(yield* fs.readDirectory(folder))

  const search = (from: number) =>
    HttpClientRequest.post("/search/keyword").pipe(
      HttpClientRequest.bodyJsonUnsafe({
        searchTerm: ["*"],
        from,
        limit: pageSize,
        // What is added meanwhile comes last, and what is deleted stays, so no page moves between two searches.
        sortBy: [{ metadataDefinitionSearchField: "createdEpoch", order: "asc" }],
        includeDeleted: true
      }),
      client.execute,
      Effect.flatMap(HttpClientResponse.schemaBodyJson(Page))
    )

  /** Brings a page into the folder, and tells how many assets are on it. */
  const bring = Effect.fnUntraced(function*(from: number) {
    const name = `${String(from).padStart(4, "0")}.jsonl`
    if (kept.has(name)) {
      const count = (yield* fs.readFileString(path.join(folder, name))).split("\n").length - 1
      if (count === pageSize) return count
    }
    const { hitCount, result } = yield* search(from)
    if (hitCount > 0) {
      const lines = result.map((asset) => `${JSON.stringify(asset)}\n`).join("")
      yield* Effect.scoped(Effect.gen(function*() {
        const file = yield* fs.open(path.join(folder, `${name}.part`), { flag: "w" })
        yield* file.writeAll(new TextEncoder().encode(lines))
        yield* file.sync
      }))
      yield* fs.rename(path.join(folder, `${name}.part`), path.join(folder, name))
    }
    return hitCount
  })

  const counts = yield* Stream.range(0, searchable / pageSize - 1).pipe(
    Stream.mapEffect((page) => bring(page * pageSize), { concurrency: 8 }),
    Stream.takeUntil((count) => count < pageSize),
    Stream.runCollect
  )
  if (counts.at(-1) === pageSize) return yield* new TooManyAssets()
  return counts.reduce((sum, count) => sum + count, 0)
})

const Live = TenovosClient.layer.pipe(
  Layer.provide(TenovosAuth.layerConfig()),
  Layer.provide(FetchHttpClient.layer),
  Layer.merge(NodeServices.layer)
)

if (import.meta.main) {
  Effect.gen(function*() {
    const folder = yield* Config.String("EXPORT_FOLDER").pipe(Config.withDefault("asset-export"))
    const count = yield* exportAssets(folder)
    yield* Console.log(`${count} assets are in ${folder}`)
  }).pipe(Effect.provide(Live), NodeRuntime.runMain)
}
