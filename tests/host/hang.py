"""A folder whose file system never answers: `hang.py FOLDER`. Whoever looks into it waits until it is killed."""

import ctypes
import os
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40777,user_id=0,group_id=0,allow_other"
if libc.mount(b"hang", sys.argv[1].encode(), b"fuse", 0, options.encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)
time.sleep(600)
