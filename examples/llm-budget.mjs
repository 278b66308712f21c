// A budget of requests and of tokens together, for a model that allows 60 requests and 9000 tokens a minute: what a
// call will take is estimated, and what it took is settled: `npm run build && node examples/llm-budget.mjs`.
import { all, MaxWaitExceededError, rateLimiter, slidingWindow, tokenBucket } from "sluice";

const requests = rateLimiter(slidingWindow({ limit: 60, window: "1m", name: "requests" }));
const tokens = rateLimiter(tokenBucket({ rate: 9000, per: "1m", name: "tokens" }));
// One decision: both are charged, or neither. A request costs 1 whatever its tokens are.
const budget = all(requests.for("model", { cost: 1 }), tokens.for("model"));

/** About four characters a token, and as much as the answer may take. */
const estimate = (prompt, most) => Math.ceil(prompt.length / 4) + most;

/** In place of a model: its answer, and the tokens that question and answer took. */
async function ask(prompt) {
  const answer = prompt.toUpperCase();
  return { answer, used: Math.ceil((prompt.length + answer.length) / 4) };
}

export const spent = [];
for (const prompt of ["first question ", "second question ", "third question "].map((text) => text.repeat(100))) {
  // Where the budget is short, this waits up to ten seconds for its turn; beyond, it says at once how long it would be.
  const reservation = await budget.reserve({ cost: estimate(prompt, 3000), maxWait: "10s" });
  try {
    const { used } = await ask(prompt);
    await reservation.settle(used);
    spent.push(used);
  } catch (error) {
    // a call that failed took nothing
    await reservation.cancel();
    throw error;
  }
}

export const left = await tokens.peek("model");
console.log(`3 requests took ${spent.join(", ")} tokens; ${left.remaining} of ${left.limit} are left`);

try {
  await budget.reserve({ cost: 9000, maxWait: "1s" });
} catch (error) {
  if (!(error instanceof MaxWaitExceededError)) throw error;
  console.log(`9000 more would have to wait for ${Math.ceil(error.wait / 1000)} s, and were not asked for`);
}

await Promise.all([requests.close(), tokens.close()]);
