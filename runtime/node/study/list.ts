/** @file The commands of a study for others to run: lines, a Slurm array, Kubernetes jobs. */
import { join } from 'node:path';
import { stringify } from 'yaml';

import { type StudyContext, shellLine } from './commands.js';
import { instructCommand, instructionFile } from './instruction.js';

import type { StudyRun } from './row.js';
import { commandsLeft, isFinished, isReady } from './run-state.js';

export const listFormats = ['lines', 'slurm', 'kubernetes'] as const;
export type ListFormat = (typeof listFormats)[number];

export interface CommandList {
  /** one a run that is not finished; they may run in any order and at the same time */
  readonly lines: readonly string[];
  /** to be run before all of them */
  readonly first: string | undefined;
  /** runs that start from others which are not trained yet */
  readonly waiting: readonly StudyRun[];
}

export function listCommands(context: StudyContext, runs: readonly StudyRun[]): CommandList {
  const left = runs.filter((run) => !isFinished(context, run));
  const ready = left.filter((run) => isReady(context, run));
  const commands = ready.map((run) => commandsLeft(context, run));
  const instructs = commands.some((of) => of.some(({ bin }) => bin === 'ort-data'));
  return {
    // made once, not by every run
    lines: commands.map((of) => shellLine(of.filter(({ bin }) => bin !== 'ort-data'))),
    first: instructs ? shellLine([instructCommand(context)]) : undefined,
    waiting: left.filter((run) => !isReady(context, run)),
  };
}

/** Lines of a shell's `case`, one a number. */
const cases = (lines: readonly string[], start: number): string =>
  lines.map((line, i) => `  ${start + i}) ${line} ;;`).join('\n');

/** An sbatch script: one task of the array a run. */
export const slurmScript = (
  lines: readonly string[],
  { out }: Pick<StudyContext, 'out'>,
): string => `#!/bin/bash
# ${lines.length} runs as one array: sbatch study.sbatch; then ort-study --out ${out} --collect
#SBATCH --job-name=ort-study
#SBATCH --array=1-${lines.length}
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=02:00:00
#SBATCH --output=${join(out, 'slurm-%a.out')}
set -euo pipefail
cd "\${SLURM_SUBMIT_DIR:-.}"
case "\${SLURM_ARRAY_TASK_ID:?}" in
${cases(lines, 1)}
  *) echo "no run \${SLURM_ARRAY_TASK_ID}" >&2; exit 2 ;;
esac
`;

/** An indexed Job: one pod a run, all on one volume that holds the checkout and the study. */
export function kubernetesJob(lines: readonly string[], { out }: Pick<StudyContext, 'out'>): string {
  const script = `set -eu\ncase "$JOB_COMPLETION_INDEX" in\n${cases(lines, 0)}\n  *) echo "no run $JOB_COMPLETION_INDEX" >&2; exit 2 ;;\nesac\n`;
  const container = {
    name: 'run',
    image: 'node:22',
    workingDir: '/work',
    command: ['bash', '-c', script],
    resources: { requests: { cpu: '2', memory: '4Gi' }, limits: { memory: '4Gi' } },
    volumeMounts: [{ name: 'work', mountPath: '/work' }],
  };
  const job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'ort-study' },
    spec: {
      completions: lines.length,
      parallelism: Math.min(4, lines.length),
      completionMode: 'Indexed',
      backoffLimitPerIndex: 1,
      maxFailedIndexes: lines.length,
      template: {
        spec: {
          restartPolicy: 'Never',
          containers: [container],
          volumes: [{ name: 'work', persistentVolumeClaim: { claimName: 'mile-ort' } }],
        },
      },
    },
  };
  const about = ` ${lines.length} runs, one pod each: kubectl apply -f study.yaml; then ort-study --out ${out} --collect\n The claim mile-ort is a volume with this checkout (npm ci done) and the study's folder.`;
  return `#${about.replaceAll('\n', '\n#')}\n${stringify(job, { lineWidth: 0 })}`;
}

export function formatList(list: CommandList, format: ListFormat, context: StudyContext): string {
  const { lines } = list;
  if (lines.length === 0 || format === 'lines') return lines.join('\n');
  return (format === 'slurm' ? slurmScript : kubernetesJob)(lines, context).trimEnd();
}

/** What has to be known beside the list. */
export const listNotes = ({ first, waiting }: CommandList, context: StudyContext): string[] => [
  ...(first ? [`first, once (it makes ${instructionFile(context)}): ${first}`] : []),
  ...(waiting.length > 0
    ? [`${waiting.length} runs start from others that are not trained yet: list again when these are`]
    : []),
];
