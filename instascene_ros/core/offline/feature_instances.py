"""Instances from features: by similarity to an object's mean, or without objects by density (method 1.6)."""

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from scipy.spatial import cKDTree
from sklearn.cluster import HDBSCAN
from torch import Tensor

VOXEL_M, VOXEL_STEP = 0.01, 1.2  # coarser by so much until there are few enough: no coarser, or small objects are noise
MAX_POINTS = 20_000  # that are clustered; a million in the paper, on a GPU
MIN_CLUSTER_SIZE, MIN_SAMPLES, EPSILON = 30, 30, 0.1


def similarity_to_objects(
    unit_features: Float32[Tensor, "N D"], members: Bool[np.ndarray, "N K"]
) -> Float32[Tensor, "N K"]:
    """Dot product of every unit feature with the mean feature of each object, which is not normalised again."""
    weights = torch.from_numpy(members.astype(np.float32)).to(unit_features.device)
    means = (weights.T @ unit_features) / weights.sum(dim=0).clamp(min=1)[:, None]
    return unit_features @ means.T


def instances_by_mean(
    unit_features: Float32[Tensor, "N D"], members: Bool[np.ndarray, "N K"], min_similarity: float
) -> Bool[np.ndarray, "N K"]:
    """Gaussians similar to each object's mean; objects may overlap; an object that nothing is similar to stays."""
    similar = (similarity_to_objects(unit_features, members) >= min_similarity).cpu().numpy()
    return np.where(similar.any(axis=0), similar, members)


def instances_by_density(
    unit_features: Float32[np.ndarray, "N D"], means_m: Float32[np.ndarray, "N 3"]
) -> Int64[np.ndarray, " N"]:
    """HDBSCAN cluster of every Gaussian, from 1, 0 = noise.

    One Gaussian per voxel is clustered, of a size that leaves at most `MAX_POINTS`; the others join the nearest.
    """
    rows, voxel_m = np.arange(len(means_m)), VOXEL_M
    while len(rows) and len(rows := _one_a_voxel(means_m, voxel_m)) > MAX_POINTS:
        voxel_m *= VOXEL_STEP
    if len(rows) < MIN_CLUSTER_SIZE:
        return np.zeros(len(means_m), np.int64)
    labels = _density_clusters(unit_features[rows].astype(np.float64)) + 1
    return labels[cKDTree(means_m[rows]).query(means_m)[1]].astype(np.int64)


def _density_clusters(features: Float64[np.ndarray, "n D"]) -> Int64[np.ndarray, " n"]:
    """HDBSCAN with a selection epsilon, -1 = noise: clusters that part below `EPSILON` are one.

    scikit-learn's own `cluster_selection_epsilon` fails with numpy 2.4 (it takes arrays of one element for numbers);
    cutting its tree at that distance and taking the coarser of cluster and cut gives the same.
    """
    tree = HDBSCAN(
        min_cluster_size=MIN_CLUSTER_SIZE, min_samples=MIN_SAMPLES, allow_single_cluster=True, copy=True
    ).fit(features)
    cut = tree.dbscan_clustering(EPSILON, MIN_CLUSTER_SIZE)
    labels = tree.labels_.copy()
    for part in range(int(cut.max()) + 1):
        inside = np.unique(tree.labels_[cut == part])
        whole = [k for k in inside if k >= 0 and (cut[tree.labels_ == k] == part).mean() > 0.5]
        spilling = [k for k in inside if k >= 0 and k not in whole]
        if whole and not spilling:  # every cluster here formed below the cut
            labels[cut == part] = labels.max() + 1
    return np.unique(np.concatenate([[-1], labels]), return_inverse=True)[1][1:] - 1


def _one_a_voxel(means_m: Float32[np.ndarray, "N 3"], voxel_m: float) -> Int64[np.ndarray, " R"]:
    return np.unique(np.floor(means_m / voxel_m).astype(np.int64), axis=0, return_index=True)[1]
