/** @file A folder of the user's, by the File System Access API: unlike a file input it asks nobody to "upload" it. */

interface Picking {
  showDirectoryPicker?(options: { id: string; mode: 'read' }): Promise<FileSystemDirectoryHandle>;
}

export interface ChosenFolder {
  readonly name: string;
  readonly files: readonly File[];
}

/** Browsers without it get a plain file input. */
export const canPickFolder = (): boolean => typeof (globalThis as Picking).showDirectoryPicker === 'function';

async function collect(folder: FileSystemDirectoryHandle, into: File[]): Promise<void> {
  for await (const entry of folder.values()) {
    if (entry.kind === 'directory') await collect(entry as FileSystemDirectoryHandle, into);
    else into.push(await (entry as FileSystemFileHandle).getFile());
  }
}

/** All files below the folder that the user picks; undefined when the user cancels. */
export async function pickFolder(): Promise<ChosenFolder | undefined> {
  let folder: FileSystemDirectoryHandle;
  try {
    folder = await (globalThis as Picking).showDirectoryPicker!({ id: 'images', mode: 'read' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return undefined;
    throw error;
  }
  const files: File[] = [];
  await collect(folder, files);
  return { name: folder.name, files };
}
