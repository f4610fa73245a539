/** @file `ort-doctor`: what this machine can train on. */
import type { Argv } from 'yargs';
import type { Device } from '../devices/device.js';
import type { MachineFacts } from '../devices/machine.js';
import type { OfflineProof } from '../devices/offline-proof.js';
import type { SelfTest } from '../devices/self-test.js';
import { defineCommand, formatTable } from './main.js';

const options = (y: Argv) =>
  y
    .option('offline-proof', {
      type: 'boolean',
      default: false,
      describe: 'train and answer with the network cut off, and count what tried to reach it (Linux)',
    })
    .option('json', { type: 'boolean', default: false, describe: 'print everything as JSON' })
    .example('$0', 'what is here, and a self-test of each device')
    .example('$0 --offline-proof', 'shows that nothing leaves this machine')
    .example('$0 --json > machine.json', 'for a bug report');

/** What is known of a machine. */
export interface DoctorReport {
  readonly machine: MachineFacts;
  readonly selfTests: readonly SelfTest[];
  readonly offline?: OfflineProof;
}

function machineLines(m: MachineFacts): string[] {
  const { cpu, memoryGb, backends, vulkan } = m;
  const providers = backends.map((b) => `${b.name}${b.bundled ? '' : ' (not bundled)'}`);
  return [
    `Node          ${m.node}, ${m.platform}`,
    `ONNX Runtime  ${m.onnxruntime}: ${providers.join(', ')}`,
    `CPU           ${cpu.model}, ${cpu.cores} cores${cpu.features.length > 0 ? `, ${cpu.features.join(' ')}` : ''}`,
    `memory        ${memoryGb.total} GB, ${memoryGb.free} GB free`,
    ...(vulkan
      ? [
          `Vulkan        loader ${vulkan.loader ?? 'missing (libvulkan1)'}; drivers ${vulkan.drivers.join(', ') || 'none'}`,
          ...vulkan.devices.map((name) => `              ${name}`),
        ]
      : []),
  ];
}

function cudaLines({ cards, libraries, provider, missing }: MachineFacts['cuda']): string[] {
  const found = libraries.filter((l) => l.path).map((l) => `${l.name} ${l.version}`);
  return [
    ...cards.map((c, i) => `CUDA card ${i}   ${c.name}, ${c.memory}, driver ${c.driver}`),
    `CUDA          libraries ${found.join(', ') || 'none'}; provider ${provider ? 'installed' : 'not installed'}`,
    ...missing.map((what) => `              ${what}`),
  ];
}

function testLines(tests: readonly SelfTest[]): string {
  const ms = (value: number | null) => (value === null ? '' : value.toFixed(1));
  const rows = tests.map((t) => [t.device, t.result, ms(t.msPerStep), ms(t.firstStepMs)]);
  const problems = tests
    .filter((t) => t.problem)
    .map((t) => `${t.device}: ${t.problem}\n  to do: ${t.remedy}`);
  return [formatTable([['self-test', 'result', 'ms/step', 'first step'], ...rows]), ...problems].join('\n');
}

const format = ({ machine, selfTests, offline }: DoctorReport): string =>
  [
    [...machineLines(machine), ...cudaLines(machine.cuda)].join('\n'),
    testLines(selfTests),
    ...(offline ? [offline.sentence] : []),
  ].join('\n\n');

/** `ort-doctor`: facts, self-tests, and on request a proof that nothing is sent. */
export const ortDoctor = defineCommand({
  describe: 'Say what this machine has, and test each device with ten training steps',
  options,
  handler: async (flags) => {
    const { machineFacts } = await import('../devices/machine.js');
    const { selfTest } = await import('../devices/self-test.js');
    const { proveOffline } = await import('../devices/offline-proof.js');
    const machine = machineFacts();
    const devices: Device[] = ['cpu', 'webgpu', ...machine.cuda.cards.map((_, i): Device => `cuda:${i}`)];
    const selfTests = await selfTest(devices);
    const report: DoctorReport = {
      machine,
      selfTests,
      ...(flags.offlineProof && { offline: await proveOffline() }),
    };
    console.log(flags.json ? JSON.stringify(report) : format(report));
    const isCpuRight = selfTests.find((t) => t.device === 'cpu')!.result === 'pass';
    const isQuiet = !report.offline?.connections;
    if (!isCpuRight || !isQuiet) process.exitCode = 1;
  },
});
