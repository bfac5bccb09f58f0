// Command stamp copies what each pattern uses of package internal/shared into the
// shared.go of the pattern. Run it at the root of the module: make stamp.
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
		content, err := stamp(root, dir, decls)
		check(err)
		file := path.Join(dir, "shared.go")
		if content == nil {
			check(os.RemoveAll(file))
		} else {
			check(os.WriteFile(file, content, 0o666))
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
