/** @file The browser's private file system: what is kept there, and what a page can do without it. */

/** Reads and writes at once; only in workers, one a file. */
export interface SyncFile {
  getSize(): number;
  read(buffer: Uint8Array, options: { at: number }): number;
  write(buffer: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** TypeScript's DOM library leaves out what only workers have. */
type WorkerFileHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncFile> };

/** A folder of the private file system; undefined where the browser has none (no HTTPS, some private windows). */
export async function keptFolder(name: string): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    const own = await root.getDirectoryHandle('mile-ort', { create: true });
    return await own.getDirectoryHandle(name, { create: true });
  } catch {
    return undefined;
  }
}

/** Whether this thread has {@link openSync}: workers do, windows do not. */
export const hasSync = (): boolean => 'createSyncAccessHandle' in FileSystemFileHandle.prototype;

/** @throws {DOMException} NoModificationAllowedError when another tab has it open. */
export async function openSync(folder: FileSystemDirectoryHandle, name: string): Promise<SyncFile> {
  const handle = (await folder.getFileHandle(name, { create: true })) as WorkerFileHandle;
  return handle.createSyncAccessHandle();
}

/** A file if it is there. */
export async function keptFile(folder: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch {
    return undefined;
  }
}

export async function removeKept(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  try {
    await folder.removeEntry(name);
  } catch {
    // it is not there
  }
}

export const isStorageFull = (error: unknown): boolean =>
  error instanceof DOMException && error.name === 'QuotaExceededError';

/** One tab at a time; others wait. Without locks (no HTTPS) nothing is kept that two tabs could share. */
export function alone<T>(name: string, work: () => Promise<T>, onWait: () => void = () => {}): Promise<T> {
  if (!('locks' in navigator)) return work();
  const { locks } = navigator;
  return locks
    .request(name, { ifAvailable: true }, async (lock) => {
      if (lock) return work();
      onWait();
      return undefined;
    })
    .then((result) => result ?? (locks.request(name, work) as Promise<T>)) as Promise<T>;
}
