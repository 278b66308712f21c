// Nest: `npm run build && node examples/http-nest.mjs`, then `curl -i http://127.0.0.1:3000/` a few times.
// Node does not read decorators yet, so they are applied by hand here. In TypeScript this is
//
//   @Controller()
//   @UseGuards(RateLimitGuard)
//   @RateLimit(perClient)
//   class HelloController {
//     @Get() hello() { … }
//     @Get("search") @RateLimit(searches) search() { … }
//     @Get("health") @SkipRateLimit() health() { … }
//   }
import "reflect-metadata";
import { Controller, Get, Module, UseGuards } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { rateLimiter, slidingWindow, tokenBucket } from "sluice";
import { RateLimit, RateLimitGuard, RateLimitModule, SkipRateLimit } from "sluice/nest";

const perClient = rateLimiter(slidingWindow({ limit: 5, window: "10s", name: "per-client" }));
const searches = tokenBucket({ rate: 2, per: "10s", name: "searches" });

class HelloController {
  hello() {
    return "hello";
  }
  search() {
    return "found";
  }
  health() {
    return "fine";
  }
}
decorate(HelloController, [Controller(), UseGuards(RateLimitGuard), RateLimit(perClient)]);
decorate(HelloController, [Get()], "hello");
decorate(HelloController, [Get("search"), RateLimit(searches)], "search");
decorate(HelloController, [Get("health"), SkipRateLimit()], "health");

class Application {}
// Defaults for every decorator; the module may be left out.
decorate(Application, [
  Module({ imports: [RateLimitModule.forRoot({ headers: ["ietf"] })], controllers: [HelloController] }),
]);

const app = await NestFactory.create(Application, { logger: ["error"] });
await app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
export const server = app.getHttpServer();
console.log(`http://127.0.0.1:${server.address().port}`);

/** What the compiler makes of decorators, from the bottom up. */
function decorate(type, decorators, method) {
  for (const each of decorators.toReversed()) {
    if (method === undefined) each(type);
    else each(type.prototype, method, Object.getOwnPropertyDescriptor(type.prototype, method));
  }
}
