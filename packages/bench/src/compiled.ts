/** Loaded before a program: lets it import the packages of this repository as they are published, from their `dist`. */
import { registerHooks } from "node:module"

registerHooks({
  resolve: (specifier, context, next) => {
    const { url, ...rest } = next(specifier, context)
    return { ...rest, url: url.replace(/\/packages\/(\w+)\/src\/(.+)\.ts$/, "/packages/$1/dist/$2.js") }
  }
})
