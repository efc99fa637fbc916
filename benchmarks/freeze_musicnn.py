"""Write musicnn's own network as one frozen graph, which Essentia reads. Runs in an environment that has musicnn.

Its nodes keep the names that `TensorflowPredictMusiCNN` looks for by default: model/Placeholder and model/Sigmoid.
"""

import os
import sys

import musicnn
import tensorflow.compat.v1 as tf
from musicnn import models

N_FRAMES, N_MELS, N_TAGS = 187, 96, 50


def main(path: str) -> None:
    """Freeze."""
    tf.disable_eager_execution()
    with tf.Session() as session:
        with tf.name_scope("model"):
            x = tf.placeholder(tf.float32, [None, N_FRAMES, N_MELS], name="Placeholder")
            training = tf.constant(False)
        logits = models.define_model(x, training, "MTT_musicnn", N_TAGS)[0]
        tf.sigmoid(logits, name="model/Sigmoid")
        session.run(tf.global_variables_initializer())
        folder = os.path.join(os.path.dirname(musicnn.__file__), "MTT_musicnn")
        tf.train.Saver().restore(session, folder + "/")
        frozen = tf.graph_util.convert_variables_to_constants(session, session.graph_def, ["model/Sigmoid"])
    with open(path, "wb") as file:
        file.write(frozen.SerializeToString())


main(sys.argv[1])
