#!/usr/bin/env python3
"""Takes every open folder of a spool once: consumer.py DIR (run it by a timer)."""
import json, os, sys

root = sys.argv[1]
for name in sorted(os.listdir(root)):
    folder = os.path.join(root, name)
    if not os.path.isfile(os.path.join(folder, "delivery.json")):
        continue  # not a delivery
    if any(os.path.exists(os.path.join(folder, answer)) for answer in ("failed", "returned")):
        continue  # answered
    with open(os.path.join(folder, "delivery.json"), encoding="utf-8") as file:
        delivery = json.load(file)
    try:
        if delivery["schema"] != 1:
            raise ValueError("delivery.json has a schema that this program does not know")
        for file in delivery["files"]:  # The lab's own work stands here, under the folder's name.
            assert os.path.getsize(os.path.join(folder, file["name"])) == file["bytes"]
        print(name, delivery["status"], len(delivery["files"]), "files", flush=True)
        os.rename(folder, os.path.join(root, "done", name))
    except Exception as error:  # The folder comes again later. No patient data in the text.
        with open(os.path.join(folder, "failed"), "w", encoding="utf-8") as file:
            file.write(type(error).__name__ + "\n")
