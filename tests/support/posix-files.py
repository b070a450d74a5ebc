"""What POSIX and Linux say of files, checked in the working directory with system calls."""
import ctypes, errno, fcntl, mmap, os, stat

def check(holds, what):
    if not holds:
        raise AssertionError(what)

def fails(number, call, *words):
    try:
        call(*words)
    except OSError as error:
        check(error.errno == number, f"{call.__name__}{words}: {error}")
    else:
        raise AssertionError(f"{call.__name__}{words} has not failed")

def put(name, data, flags=os.O_CREAT | os.O_WRONLY | os.O_TRUNC):
    fd = os.open(name, flags, 0o644)
    os.write(fd, data)
    os.close(fd)

def get(name):
    with open(name, "rb") as file:
        return file.read()

libc = ctypes.CDLL(None, use_errno=True)

def renameat2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")

# Exclusive creation, truncation on open.
put("a", b"one")
fails(errno.EEXIST, os.open, "a", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
put("a", b"2")
check(get("a") == b"2", "O_TRUNC")

# An open file stays while it is renamed over, and removed.
put("new", b"new")
old = os.open("a", os.O_RDWR)
os.rename("new", "a")
check(os.read(old, 10) == b"2" and get("a") == b"new", "rename over an open file")
os.pwrite(old, b"xyz", 1)
os.ftruncate(old, 3)
check(os.pread(old, 10, 0) == b"2xy" and os.fstat(old).st_nlink == 0, "writes to a removed file")
os.fchmod(old, 0o600)
check(stat.S_IMODE(os.fstat(old).st_mode) == 0o600, "fchmod of a removed file")
os.close(old)
kept = os.open("a", os.O_RDONLY)
os.unlink("a")
check(os.read(kept, 10) == b"new", "unlink of an open file")
os.close(kept)
fails(errno.ENOENT, os.stat, "a")

# Flags of renameat2.
put("x", b"x")
put("y", b"y")
fails(errno.EEXIST, renameat2, "x", "y", 1)
renameat2("x", "y", 2)
check((get("x"), get("y")) == (b"y", b"x"), "RENAME_EXCHANGE")
os.mkdir("dir")
put("dir/in", b"in")
renameat2("x", "dir", 2)
check(get("x/in") == b"in" and get("dir") == b"y", "an exchange with a directory")

# Hard links, symbolic links, FIFOs.
os.link("y", "hard")
check(os.stat("hard").st_ino == os.stat("y").st_ino and os.stat("y").st_nlink == 2, "link")
put("hard", b"both")
check(get("y") == b"both", "one file by two names")
os.unlink("y")
check(get("hard") == b"both" and os.stat("hard").st_nlink == 1, "the other name")
os.symlink("missing/../hard", "soft")
check(os.readlink("soft") == "missing/../hard", "readlink")
os.mkfifo("fifo", 0o640)
check(stat.S_ISFIFO(os.stat("fifo").st_mode), "mkfifo")

# Directories.
os.mkdir("full")
put("full/f", b"")
fails(errno.ENOTEMPTY, os.rmdir, "full")
fails(errno.ENOTDIR, os.rmdir, "hard")
fails(errno.EISDIR, os.unlink, "full")
fails(errno.ENOTEMPTY, os.rename, "x", "full")
for number in range(1000):
    put(f"full/{number:04}", b"")
check(len(os.listdir("full")) == 1001, "a directory of many names")
os.rename("full", "moved")
check(os.stat("moved/0500").st_size == 0, "a file below a renamed directory")

# Appends of two descriptors; writes at offsets; holes.
one = os.open("log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
two = os.open("log", os.O_WRONLY | os.O_APPEND)
for number in range(20):
    os.write(one, b"1")
    os.write(two, b"2")
check(get("log") == b"12" * 20, "O_APPEND")
hole = os.open("hole", os.O_CREAT | os.O_RDWR, 0o644)
os.ftruncate(hole, 4 << 30)
os.pwrite(hole, b"data", 2 << 30)
check(os.fstat(hole).st_blocks < 1000, "a sparse file")
check(os.lseek(hole, 0, os.SEEK_DATA) == 2 << 30, "SEEK_DATA")
check(os.pread(hole, 8, (2 << 30) - 4) == b"\0\0\0\0data", "a hole reads as zeros")
os.posix_fallocate(hole, 0, 8192)
check(os.fstat(hole).st_blocks >= 16, "posix_fallocate")
target = os.open("target", os.O_CREAT | os.O_RDWR, 0o644)
check(os.copy_file_range(hole, target, 4, 2 << 30, 1) == 4, "copy_file_range")
check(os.pread(target, 10, 0) == b"\0data", "what was copied")
fails(errno.EFBIG, os.ftruncate, hole, 1 << 62)

# Memory maps, shared and private.
put("map", b"\0" * 10000)
fd = os.open("map", os.O_RDWR)
shared = mmap.mmap(fd, 10000)
shared[5000:5004] = b"mmap"
shared.flush()
check(get("map")[5000:5004] == b"mmap", "a shared map writes")
os.pwrite(fd, b"file", 100)
check(shared[100:104] == b"file", "a shared map reads")
private = mmap.mmap(fd, 10000, mmap.MAP_PRIVATE)
private[0:1] = b"p"
check(get("map")[0:1] == b"\0", "a private map")

# Attributes.
os.utime("map", ns=(1_234_567_891, 1_987_654_321_123_456_789))
check(os.stat("map").st_mtime_ns == 1_987_654_321_123_456_789, "times to the nanosecond")
os.utime("map", ns=(0, -5_000_000_001))
check(os.stat("map").st_mtime_ns == -5_000_000_001, "a time before 1970")
os.chown("map", 1234, 5678)
check((os.stat("map").st_uid, os.stat("map").st_gid) == (1234, 5678), "chown")
os.chmod("map", 0o4711)
check(stat.S_IMODE(os.stat("map").st_mode) == 0o4711, "chmod")
check(os.statvfs(".").f_namemax == 255 and os.statvfs(".").f_blocks > 0, "statvfs")
check(os.statvfs(".").f_files > 0, "inodes of statvfs")

# Locks are the kernel's own.
lock = os.open("map", os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
fails(errno.EAGAIN, fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
fcntl.lockf(lock, fcntl.LOCK_EX, 10)
os.fsync(fd)
os.fdatasync(fd)

# Names.
for name in (b"sp ace", b"new\nline", b"\xff\xfe", "\u00e4\u4e2d".encode(), b"n" * 255):
    put(name, name)
    check(get(name) == name and name in os.listdir(b"."), name)
fails(errno.ENAMETOOLONG, os.stat, "n" * 256)

# Extended attributes are refused, not misunderstood.
fails(errno.EOPNOTSUPP, os.setxattr, "map", "user.a", b"v")
print("all hold")
