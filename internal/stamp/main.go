// Command stamp copies what each pattern uses of package internal/shared into the
// shared.go and shared_messages.go of the pattern. Run it at the root of the module: make stamp.
package main

import (
	"io/fs"
	"log"
	"os"
	"path"
)

func main() {
	root := os.DirFS(".")
	decls, err := readShared(root)
	check(err)
	dirs, err := fs.Glob(root, "patterns/*")
	check(err)
	for _, dir := range dirs {
		files, err := stamp(root, dir, decls)
		check(err)
		for name, content := range files {
			if content == nil {
				check(os.RemoveAll(path.Join(dir, name)))
			} else {
				check(os.WriteFile(path.Join(dir, name), content, 0o666))
			}
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
