// Express: `npm run build && node examples/http-express.mjs`, then `curl -i http://127.0.0.1:3000/` a few times.
import express from "express";
import { rateLimiter, slidingWindow, tokenBucket } from "sluice";
import { limitByApiKey, limitByUser, rateLimit } from "sluice/express";

const app = express();
// Behind one proxy of your own, say so: otherwise all its clients count as one.
// app.set("trust proxy", 1);

// By client address, before everything: what is not found and what cannot be parsed counts too.
const perClient = rateLimiter(slidingWindow({ limit: 5, window: "10s", name: "per-client" }));
app.use(rateLimit(perClient, { exclude: ["/health"] }));

app.get("/health", (_request, response) => response.send("fine"));
app.get("/", (_request, response) => response.send("hello"));

// Stacked on the first: both count. Failed logins are what is limited, so good ones are given back.
const attempts = tokenBucket({ rate: 3, per: "1m", name: "attempts" });
const goodOnes = (_request, status) => status < 400;
app.post("/login", express.json(), rateLimit(attempts, { refundWhen: goodOnes }), (request, response) => {
  response.sendStatus(request.body?.password === "open sesame" ? 204 : 401);
});

// By user and by API key, behind whatever authenticates.
const authenticate = (request, _response, next) => {
  const name = request.get("X-User");
  if (name) request.user = { id: name };
  next();
};
app.get("/mine", authenticate, limitByUser(tokenBucket({ rate: 2, per: "1m" })), (_request, response) => {
  response.send("yours");
});
app.get("/v1", limitByApiKey(tokenBucket({ rate: 2, per: "1m" })), (_request, response) => response.send("data"));

export const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
