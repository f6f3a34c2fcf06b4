<?php
// Takes every open folder of a spool once: php consumer.php DIR (run it by a timer).
$root = $argv[1];
foreach (glob("$root/*/delivery.json") as $file) {
    $folder = dirname($file);
    $name = basename($folder);
    if (file_exists("$folder/failed") || file_exists("$folder/returned")) {
        continue; // answered
    }
    try {
        $delivery = json_decode(file_get_contents($file), true, 64, JSON_THROW_ON_ERROR);
        if ($delivery['schema'] !== 1) {
            throw new RuntimeException('delivery.json has a schema that this program does not know');
        }
        foreach ($delivery['files'] as $one) { // The lab's own work stands here, under the folder's name.
            if (filesize("$folder/{$one['name']}") !== $one['bytes']) {
                throw new RuntimeException('a file is not whole');
            }
        }
        echo "$name {$delivery['status']} ", count($delivery['files']), " files\n";
        rename($folder, "$root/done/$name");
    } catch (Throwable $error) { // The folder comes again later. No patient data in the text.
        file_put_contents("$folder/failed", get_class($error) . "\n");
    }
}
