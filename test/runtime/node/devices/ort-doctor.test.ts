/** @file `ort-doctor`: facts, self-tests, and the proof that nothing is sent. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { DoctorReport } from '../../../../runtime/node/cli/ort-doctor.js';
import { measure } from '../../../../runtime/node/devices/measure.js';
import { CUT, countAttempts } from '../../../../runtime/node/devices/offline-proof.js';
import { lossesFile, withSelfTest } from '../../../../runtime/node/devices/self-test.js';
import { expectMessage, listing, runProgram, temporaryFolder } from '../runs.js';

const canCut = process.platform === 'linux' && spawnSync('unshare', [...CUT, 'true']).status === 0;

test('--help', async () => {
  const { code, stdout, stderr } = await runProgram('ort-doctor', ['--help'], temporaryFolder());
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/Examples:\n +ort-doctor/);
  for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(110);
});

test('an unknown option', () =>
  expectMessage('ort-doctor', ['--gpu'], /^Unknown argument: gpu\n {2}where: command line\n/));

test('--json --offline-proof: the CPU passes, and nothing tried to leave', async () => {
  const folder = temporaryFolder();
  const flags = ['--json', '--offline-proof'];
  const { code, stdout, stderr } = await runProgram('ort-doctor', flags, folder);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { machine, selfTests, offline } = JSON.parse(stdout) as DoctorReport;
  expect(machine.node).toBe(process.version);
  expect(machine.onnxruntime).toMatch(/^\d+\.\d+\.\d+/);
  expect(machine.backends.map((b) => b.name)).toContain('webgpu');
  expect(machine.cpu.cores).toBeGreaterThan(0);
  expect(machine.memoryGb.total).toBeGreaterThan(machine.memoryGb.free);
  expect(machine.cuda.missing.length === 0).toBe(machine.cuda.provider && machine.cuda.cards.length > 0);
  const [cpu, webgpu] = selfTests;
  expect(cpu).toMatchObject({ device: 'cpu', result: 'pass', problem: null });
  expect(cpu!.msPerStep).toBeGreaterThan(0);
  expect(webgpu!.device).toBe('webgpu');
  expect(webgpu!.result === 'pass').toBe(webgpu!.problem === null);
  if (canCut) expect(offline).toMatchObject({ connections: 0 });
  expect(offline!.sentence).toMatch(
    canCut ? /^0 connections: trained 10 steps and answered ".+" with/ : /^not tried: /,
  );
  expect(listing(folder)).toEqual([]);
});

test('as text', async () => {
  const { code, stdout } = await runProgram('ort-doctor', [], temporaryFolder());
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Node +v.*\nONNX Runtime +\d.*\nCPU .*\nmemory .* GB/);
  expect(stdout).toMatch(/\nself-test +result +ms\/step +first step\ncpu +pass +\d/);
  expect(stdout).not.toMatch(/undefined|null|NaN|\[object/);
});

test('the stored losses are those of the CPU trainer', async () => {
  const { losses } = JSON.parse(readFileSync(lossesFile(), 'utf8')) as { losses: number[] };
  const measured = await withSelfTest((job) => measure({ ...job, device: 'cpu', threads: 1 }));
  measured.losses.forEach((loss, i) => {
    expect(Math.abs(loss / losses[i]! - 1), `step ${i + 1}`).toBeLessThan(1e-5);
  });
  // a learning rate 1% off would show
  const other = await withSelfTest((job) => measure({ ...job, lr: 1.01e-2, device: 'cpu', threads: 1 }));
  expect(Math.abs(other.losses.at(-1)! / losses.at(-1)! - 1)).toBeGreaterThan(1e-4);
});

test.skipIf(!canCut)('whatever tries to leave is counted', () => {
  const script = `
    const net = require('node:net');
    const { readFileSync } = require('node:fs');
    net.connect(443, '192.0.2.1').on('error', () => {
      console.log(JSON.stringify(['snmp', 'snmp6'].map((f) => readFileSync('/proc/self/net/' + f, 'utf8'))));
    });`;
  const { stdout } = spawnSync('unshare', [...CUT, process.execPath, '-e', script], { encoding: 'utf8' });
  const [snmp, snmp6] = JSON.parse(stdout) as [string, string];
  expect(countAttempts(snmp, snmp6)).toBeGreaterThan(0);
});

test("the kernel's counters", () => {
  const snmp = 'Ip: A OutNoRoutes\nIp: 9 2\nTcp: ActiveOpens X\nTcp: 3 8\nUdp: OutDatagrams\nUdp: 4\n';
  expect(countAttempts(snmp, 'Ip6OutNoRoutes   \t1\nUdp6OutDatagrams 5\n')).toBe(15);
  expect(countAttempts('', '')).toBe(0);
});
