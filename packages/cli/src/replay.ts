import type { Policy } from "sluice";
import { type SimulationReport, simulation } from "sluice/simulate";
import { CommandError } from "./command-error.js";
import { chunkSizeFor, totalSize } from "./input/bytes.js";
import { merge } from "./input/merge.js";
import { type InputOptions, type MalformedSample, mostSamples, Source, type SourceReport } from "./input/source.js";
import type { Progress } from "./output/progress.js";
import { count } from "./output/text.js";

export interface ReplayOptions extends Omit<InputOptions, "chunkSize"> {
  readonly policies: readonly Policy[];
  readonly topKeys: number;
  readonly maxKeys: number;
}

/** What the replay of some inputs came to. */
export interface ReplayReport extends SimulationReport {
  readonly from: number;
  readonly to: number;
  /** Lines that are no requests. */
  readonly malformed: number;
  readonly malformedSamples: readonly MalformedSample[];
  /** Requests left out because they have no key. */
  readonly withoutKey: number;
  readonly inputs: readonly SourceReport[];
}

/**
 * Replays what the files hold, all of them in one order of time.
 *
 * @throws CommandError for what cannot be read, holds no requests, or is out of order.
 */
export async function replay(
  files: readonly string[],
  options: ReplayOptions,
  watch: (total: number | undefined) => Progress,
): Promise<ReplayReport> {
  const { policies, topKeys, maxKeys } = options;
  const trial = simulation({ policies, topKeys, maxKeys });
  const progress = watch(await totalSize(files));
  let replayed = 0;
  const reading = { ...options, chunkSize: chunkSizeFor(files.length) };
  const sources = files.map(
    (file) =>
      new Source(file, reading, (bytes) => {
        progress.read(bytes);
        progress.requests(replayed);
      }),
  );
  try {
    await merge(sources, (at, key, cost) => {
      replayed += 1;
      trial.request(at, key, cost);
    });
    return summary(trial.report(), sources);
  } finally {
    progress.stop();
    await Promise.all(sources.map((source) => source.close()));
  }
}

function summary(report: SimulationReport, sources: readonly Source[]): ReplayReport {
  const inputs = sources.map((source) => source.report());
  const malformed = inputs.reduce((sum, input) => sum + input.malformed, 0);
  const withoutKey = inputs.reduce((sum, input) => sum + input.withoutKey, 0);
  const malformedSamples = sources.flatMap(({ samples }) => samples).slice(0, mostSamples);
  const { from, to } = report;
  if (from === undefined || to === undefined) throw nothing(inputs, malformed, withoutKey, malformedSamples[0]);
  return { ...report, from, to, malformed, malformedSamples, withoutKey, inputs };
}

function nothing(
  inputs: readonly SourceReport[],
  malformed: number,
  withoutKey: number,
  sample: MalformedSample | undefined,
): Error {
  const names = inputs.map(({ file }) => file).join(", ");
  const [{ format, key } = { format: undefined, key: undefined }] = inputs;
  if (sample !== undefined) {
    const { file, line, why, text } = sample;
    return new CommandError(
      `no request in ${names}: all of ${count(malformed)} lines are malformed as ${format},` +
        ` such as ${file}, line ${line} (${why}): ${text}`,
    );
  }
  if (withoutKey > 0) return new CommandError(`no request in ${names} has a ${key}; choose another --key`);
  return new CommandError(`${names} holds no requests`);
}
