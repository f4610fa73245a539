/** @file Trains and answers with the network cut off, and counts what tried to reach it. */
import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface OfflineProof {
  /** null: it could not be tried here */
  readonly connections: number | null;
  readonly sentence: string;
}

/** What the process inside reports. */
export interface OfflineReport {
  readonly connections: number;
  readonly steps: number;
  readonly answer: string;
}

/**
 * Connections and datagrams that anything in this network namespace tried to send since it was made, by the kernel's
 * own counters: what found no route counts, too.
 *
 * @param snmp /proc/net/snmp: per protocol a line of names, then a line of numbers
 * @param snmp6 /proc/net/snmp6: a name and a number a line
 */
export function countAttempts(snmp: string, snmp6: string): number {
  const lines = snmp.split('\n').map((line) => line.split(/\s+/));
  const value = (protocol: string, name: string): number => {
    const [names, numbers] = lines.filter(([first]) => first === `${protocol}:`);
    return Number(numbers?.[names?.indexOf(name) ?? -1] ?? 0);
  };
  const value6 = (name: string): number =>
    Number(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(snmp6)?.[1] ?? 0);
  return (
    value('Tcp', 'ActiveOpens') +
    value('Udp', 'OutDatagrams') +
    value('Ip', 'OutNoRoutes') +
    value6('Ip6OutNoRoutes') +
    value6('Udp6OutDatagrams')
  );
}

/** Runs a program in a network namespace of its own, which has no way out. */
export const CUT = ['-r', '-n'] as const;

const cannot = (why: string): OfflineProof => ({
  connections: null,
  sentence: `not tried: ${why}; pull the network cable and run ort-doctor again`,
});

/** Ten training steps and an answer inside `unshare -n`. */
export async function proveOffline(): Promise<OfflineProof> {
  if (process.platform !== 'linux') return cannot('only Linux can cut one program off the network');
  if (spawnSync('unshare', [...CUT, 'true']).status !== 0)
    return cannot('unshare -r -n is missing or forbidden here');
  const program = fileURLToPath(new URL('./offline-process.js', import.meta.url));
  const { stdout } = await promisify(execFile)('unshare', [...CUT, process.execPath, program]);
  const { connections, steps, answer } = JSON.parse(stdout) as OfflineReport;
  const did = `trained ${steps} steps and answered "${answer}" with the network cut off`;
  return { connections, sentence: `${connections} connections: ${did}` };
}
